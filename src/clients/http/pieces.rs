//! A body while it arrives.

/// Bytes of the first piece; each further one has room for twice as many, up to the most.
const FIRST: usize = 4 << 10;
const MOST: usize = 256 << 10;

/// What has arrived, copied into pieces: they take about as much room as they hold, however small the parts are in which it comes.
#[derive(Default)]
pub struct Pieces {
    all: Vec<Vec<u8>>,
    length: usize,
}

impl Pieces {
    /// Bytes so far.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn push(&mut self, mut more: &[u8]) {
        self.length += more.len();
        while !more.is_empty() {
            let room = self.all.last().map_or(0, |p| p.capacity() - p.len());
            match self.all.last_mut() {
                Some(last) if room > 0 => {
                    let (now, later) = more.split_at(room.min(more.len()));
                    last.extend_from_slice(now);
                    more = later;
                }
                last => {
                    let next = last.map_or(FIRST, |p| (2 * p.capacity()).min(MOST));
                    self.all.push(Vec::with_capacity(next));
                }
            }
        }
    }

    /// All of it, made at its length; each piece is let go as it is copied.
    pub fn whole(self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.length);
        let pieces = self.all.into_iter();
        pieces.for_each(|piece| body.extend_from_slice(&piece));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_whole_in_whatever_parts_it_came_and_took_little_more_room_meanwhile() {
        let body: Vec<u8> = (0..3 * MOST).map(|n| (n % 251) as u8).collect();
        for part in [1, 1_000, FIRST, MOST + 1, body.len()] {
            let mut pieces = Pieces::default();
            body.chunks(part).for_each(|more| pieces.push(more));
            let room: usize = pieces.all.iter().map(Vec::capacity).sum();
            assert!(room <= body.len() + MOST, "{room} for parts of {part}");
            assert_eq!(pieces.length(), body.len());
            let whole = pieces.whole();
            assert!(whole == body, "parts of {part}");
            assert_eq!(whole.capacity(), body.len());
        }
        assert_eq!(Pieces::default().whole(), Vec::<u8>::new());
    }
}
