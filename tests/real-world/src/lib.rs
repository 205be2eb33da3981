//! real-world
