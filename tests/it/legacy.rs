//! The applications of `examples/`, which know nothing of sidegate, behind it: real PHP, Python and Node, with the examples'
//! own configurations. Only addresses and files are others.

mod application;
mod browser;
mod django;
mod pages;
mod php;
mod site;
mod token_client;
mod tokens;
mod wiretap;
