//! `sidegate users import`: users of another system, with the password hashes they have there.
//!
//! All of the file or nothing of it: every problem is named with its line, and only a file without any is written, in one
//! transaction. No hash is ever shown, nor a line that could be one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Read, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::checked::{Argon2, Config};
use crate::domain::session::Subject;
use crate::domain::user::{User, UserName};

use self::entries::Entry;
use super::super::{Failure, joined_store, say};
use super::built_in_users;

mod entries;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The file; - is standard input
    file: PathBuf,
    /// How it is written [default: what its beginning looks like]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Leave out the users whose name or subject is there already
    #[arg(long)]
    skip_existing: bool,
    /// Check the file and count, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// NAME:HASH on each line
    Htpasswd,
    /// A JSON object on each line
    Jsonl,
}

/// What keeps the file from being imported, and on which line.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    text: String,
}

/// `record` is told of each user that was imported.
pub(super) async fn run(
    config: &Config,
    arguments: &Arguments,
    record: impl Fn(&'static str, &UserName),
) -> Result<(), Failure> {
    let (_, argon2) = built_in_users(config)?;
    let file = shown(&arguments.file);
    let bytes = read(&arguments.file).map_err(|error| Failure::Other(format!("{file} cannot be read: {error}")))?;
    let (entries, mut problems) = entries::read(&bytes, arguments.format);
    if entries.is_empty() && problems.is_empty() {
        return Err(Failure::Other(format!("{file}: there is no user in it")));
    }
    problems.extend(repetitions(&entries));

    // Thousands of users take longer than what a request may wait.
    let mut patient = config.clone();
    patient.store.timeout = patient.store.timeout.max(LONGEST_WRITE);
    let store = joined_store(&patient).await?;
    let there = There::of(store.users().await?);
    let (mut new, mut skipped, mut left_out) = (Vec::new(), 0, Vec::new());
    for entry in entries {
        match there.what_has(&entry.user) {
            None => new.push(entry),
            Some(taken) if arguments.skip_existing => {
                skipped += 1;
                if !taken.is_the_same_name {
                    left_out.push(format!("{file}:{}: {} is left out: {taken}", entry.line, entry.user.name));
                }
            }
            Some(taken) => problems.push(Problem {
                line: entry.line,
                text: format!("{}: {taken}; hint: --skip-existing leaves out who is there", entry.user.name),
            }),
        }
    }
    if !problems.is_empty() {
        return Err(refused(&file, problems));
    }

    let warnings = left_out.into_iter().chain(quick_to_guess(&new)).chain(large(&new, argon2));
    for warning in warnings {
        // Nowhere is left to say it if this fails.
        let _ = writeln!(io::stderr().lock(), "warning: {warning}");
    }
    let done = if arguments.dry_run { "would import" } else { "imported" };
    let count = counted(&new);
    if !arguments.dry_run {
        let users: Vec<User> = new.into_iter().map(|entry| entry.user).collect();
        if !store.add_users(&users).await? {
            return Err(Failure::Other(format!(
                "{file}: somebody has added one of these users meanwhile, nothing was imported; hint: try again"
            )));
        }
        for user in &users {
            record("imported", &user.name);
        }
    }
    say(format_args!("{done} {count}{}", if skipped == 0 { String::new() } else { format!("; {skipped} skipped") }))
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn refused(file: &str, mut problems: Vec<Problem>) -> Failure {
    problems.sort_by_key(|problem| problem.line);
    let plural = if problems.len() == 1 { "" } else { "s" };
    let count = format!("{file}: {} problem{plural}, nothing was imported", problems.len());
    let lines = problems.iter().map(|Problem { line, text }| format!("{file}:{line}: {text}"));
    Failure::Other(iter::once(count).chain(lines).collect::<Vec<_>>().join("\n"))
}

/// Names and subjects that stand in the file more than once.
fn repetitions(entries: &[Entry]) -> Vec<Problem> {
    let (mut names, mut subjects) = (HashMap::new(), HashMap::new());
    let mut problems = Vec::new();
    for Entry { line, user, .. } in entries {
        let name = &user.name;
        let text = match (names.get(name), subjects.get(&user.subject)) {
            (Some(first), _) => format!("{name}: the name stands on line {first} already"),
            (None, Some(first)) => format!("{name}: the subject {} stands on line {first} already", user.subject),
            (None, None) => String::new(),
        };
        if text.is_empty() {
            names.insert(name, line);
            subjects.insert(&user.subject, line);
        } else {
            problems.push(Problem { line: *line, text: format!("{text}; hint: leave one of them out") });
        }
    }
    problems
}

/// Who is in the store already.
struct There {
    names: HashMap<UserName, Subject>,
    subjects: HashMap<Subject, UserName>,
}

/// What a user of the store has that one of the file would need.
struct Taken<'a> {
    by: &'a UserName,
    subject: &'a Subject,
    is_the_same_name: bool,
}

impl There {
    fn of(users: Vec<User>) -> Self {
        let subjects = users.iter().map(|user| (user.subject.clone(), user.name.clone())).collect();
        Self { names: users.into_iter().map(|user| (user.name, user.subject)).collect(), subjects }
    }

    fn what_has(&self, user: &User) -> Option<Taken<'_>> {
        if let Some((by, subject)) = self.names.get_key_value(&user.name) {
            return Some(Taken { by, subject, is_the_same_name: true });
        }
        let (subject, by) = self.subjects.get_key_value(&user.subject)?;
        Some(Taken { by, subject, is_the_same_name: false })
    }
}

impl fmt::Display for Taken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, subject, is_the_same_name } = self;
        if *is_the_same_name {
            write!(f, "there is a user {by} already")
        } else {
            write!(f, "the subject {subject} is that of the user {by} already")
        }
    }
}

/// `12 users: 9 bcrypt, 3 pbkdf2_sha256`.
fn counted(entries: &[Entry]) -> String {
    let plural = if entries.len() == 1 { "" } else { "s" };
    let count = format!("{} user{plural}", entries.len());
    if entries.is_empty() { count } else { format!("{count}: {}", by_scheme(entries)) }
}

fn by_scheme<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut schemes = BTreeMap::new();
    for entry in entries {
        *schemes.entry(entry.hash.scheme()).or_insert(0) += 1;
    }
    let counts: Vec<String> = schemes.into_iter().map(|(scheme, count)| format!("{count} {scheme}")).collect();
    counts.join(", ")
}

fn quick_to_guess(entries: &[Entry]) -> Option<String> {
    let quick: Vec<&Entry> = entries.iter().filter(|entry| entry.hash.is_quick_to_guess()).collect();
    (!quick.is_empty()).then(|| {
        format!(
            "weak hashes: {} ({}): whoever has a copy can try very many passwords; hint: each is replaced when its user \
             logs in, and `sidegate users list` shows who has not",
            quick.len(),
            by_scheme(quick)
        )
    })
}

fn large(entries: &[Entry], Argon2 { memory_kib, slots }: Argon2) -> Option<String> {
    let large = || entries.iter().map(|entry| entry.hash.memory_kib()).filter(|memory| *memory > memory_kib);
    let most = large().max()?;
    Some(format!(
        "large hashes: {}, which take up to {} MiB to check, more than login.users.argon2_memory; hint: until their users \
         have logged in, the memory limit of each replica must allow {slots} × that (login.users.argon2_slots)",
        large().count(),
        most / 1024
    ))
}

/// For reading or writing all users.
const LONGEST_WRITE: Duration = Duration::from_mins(2);
