//! Integration tests, one binary: a file for each theme.

mod crash;
mod laboratory;
<<<<<<< HEAD

mod drop;
=======
mod scene;
>>>>>>> crash
