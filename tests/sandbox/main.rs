//! The program from its front door: the whole estate for its whole day, its end by signal, and the scheduler apart from it.
//! What is awaited is a line that the program says or a state of the machine, each with a deadline that a slow machine keeps.
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which program is tested

mod day;
mod ends;
mod estate;
mod program;
mod scheduler;
