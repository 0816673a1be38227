//! What needs golden files; the name of this module is how the tests in it are told apart.

mod checkpoints;
mod damage;
mod images;
mod model;
mod reader_rules;
