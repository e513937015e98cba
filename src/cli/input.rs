//! Reading a password: from the terminal without echo, or one line from standard input. Never from an argument, which
//! every process on the machine could see.

use std::io::{self, BufRead, IsTerminal};

use crate::domain::user::Password;

use super::Failure;

/// Asks twice on a terminal; takes the first line where there is none.
pub(super) fn new_password() -> Result<Password, Failure> {
    let unreadable = |error: io::Error| Failure::Other(format!("the password cannot be read: {error}"));
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").map_err(unreadable)?;
        let again = rpassword::prompt_password("Again: ").map_err(unreadable)?;
        if first != again {
            return Err(Failure::Other("the two passwords differ".into()));
        }
        return Ok(Password::new(first));
    }
    first_line("password").map(Password::new)
}

/// The first line of standard input, without what is around it.
pub(super) fn token() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        eprintln!("Paste the token, then Enter:");
    }
    first_line("token").map(|line| line.trim().to_owned())
}

fn first_line(what: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::Other(format!("the {what} cannot be read: {error}")))?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
