job "shop" {
  group "web" {
    ephemeral_disk {
      size = 6 % 0
    }
    count = [for x in [0]: 6 % x][0]
  }
}
