//! Reads policies, configuration files and the environment, and says exactly where they are wrong; it starts nothing.
