//! `docs/requirements.md` leaves nothing out: every number of the list has one row, and every row a test that exists or a
//! reason why there is none.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use crate::support::named_tests;

const PAGE: &str = include_str!("../../docs/requirements.md");

/// Every number, as letters and runs.
const NUMBERS: &[(&str, &[RangeInclusive<u32>])] = &[
    ("TOK", &[1..=17]),
    ("BEAR", &[1..=14]),
    ("JOSE", &[1..=23]),
    ("AT", &[1..=6]),
    ("REF", &[1..=12]),
    ("PROB", &[1..=5]),
    ("PRX", &[1..=22]),
    ("FWD", &[1..=5]),
    ("SES", &[1..=18]),
    ("PW", &[1..=8]),
    ("OPS", &[1..=10]),
    ("CK", &[1..=11]),
    ("OLD", &[1..=14]),
    ("B1", &[1..=34, 40..=52, 55..=55, 60..=63]),
    ("B2", &[1..=24]),
    ("B3", &[1..=9, 12..=12, 14..=14, 16..=18, 20..=21, 24..=24, 26..=30, 32..=32, 40..=43, 50..=50, 60..=62, 70..=71]),
    ("B5", &[1..=7, 10..=12, 20..=21, 30..=35]),
    ("B6", &[1..=9]),
    ("D", &[1..=33]),
    ("I", &[1..=15]),
];

type Number = (String, u32);

/// A row of a table: what it is about, what must hold, and what shows it.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    name: &'a str,
    numbers: Vec<Number>,
    claim: &'a str,
    evidence: &'a str,
}

/// The rows of every table of a page; heads and the lines under them are none.
fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = lines.map(|line| line.split(" | ").collect::<Vec<_>>());
    cells
        .filter(|cells| cells[0] != "number" && !cells[0].starts_with("---"))
        .map(|cells| {
            let (name, claim) = (cells[0], cells.get(1).copied().unwrap_or_default());
            Row { name, numbers: numbers(name), claim, evidence: cells.get(2).copied().unwrap_or_default() }
        })
        .collect()
}

/// `B1-40…46` is seven numbers, `B1-40` is one; what is neither is none.
fn numbers(name: &str) -> Vec<Number> {
    let Some((letters, run)) = name.rsplit_once('-') else { return Vec::new() };
    let (first, last) = run.split_once('…').unwrap_or((run, run));
    let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Vec::new() };
    (first..=last).map(|number| (letters.to_owned(), number)).collect()
}

/// What is wrong with a page.
fn findings(page: &str, expected: &[Number], tests: &HashSet<String>) -> Vec<String> {
    let rows = rows(page);
    let mut findings = Vec::new();
    let mut times: BTreeMap<&Number, usize> = BTreeMap::new();
    for number in rows.iter().flat_map(|row| &row.numbers) {
        *times.entry(number).or_default() += 1;
    }
    for number in expected {
        match times.remove(number).unwrap_or_default() {
            0 => findings.push(format!("{}-{} has no row", number.0, number.1)),
            1 => {}
            _ => findings.push(format!("{}-{} has more than one row", number.0, number.1)),
        }
    }
    findings.extend(times.keys().map(|(letters, number)| format!("{letters}-{number} is not in the list")));
    for Row { name, numbers, claim, evidence } in &rows {
        if numbers.is_empty() {
            findings.push(format!("{name} is no number"));
        }
        if claim.trim().is_empty() {
            findings.push(format!("{name} does not say what must hold"));
        }
        let reason = evidence.split_once("open:").map(|(_, reason)| reason.trim());
        let named: Vec<&str> = named_tests::in_backticks(evidence.split("open:").next().unwrap_or_default()).collect();
        if named.is_empty() && reason.is_none_or(str::is_empty) || reason.is_some_and(str::is_empty) {
            findings.push(format!("{name} has neither a test nor a reason after `open:`"));
        }
        for missing in named.iter().filter(|test| !tests.contains(**test)) {
            findings.push(format!("{name} names {missing}, which is no test"));
        }
    }
    findings
}

fn listed() -> Vec<Number> {
    let of = |&(letters, runs): &(&str, &[RangeInclusive<u32>])| {
        let numbers = runs.iter().cloned().flatten();
        numbers.map(|number| (letters.to_owned(), number)).collect::<Vec<_>>()
    };
    NUMBERS.iter().flat_map(of).collect()
}

#[test]
fn every_requirement_has_a_test_or_a_reason() {
    let findings = findings(PAGE, &listed(), &named_tests::all());
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_fault_of_a_requirements_page_is_found() {
    let tests: HashSet<String> = [String::from("it_holds")].into();
    let expected = numbers("A-1…2");
    let faults =
        |rows: &str| findings(&format!("| number | what | test |\n| --- | --- | --- |\n{rows}"), &expected, &tests);
    let none: [&str; 0] = [];
    assert_eq!(faults("| A-1 | x | `it_holds` |\n| A-2 | y | open: not yet |\n"), none);
    assert_eq!(faults("| A-1…2 | x | `it_holds`; open: and `more` |\n"), none);
    for (rows, fault) in [
        ("| A-1 | x | `it_holds` |\n", "A-2 has no row"),
        ("| A-1…2 | x | `it_holds` |\n| A-2 | x | `it_holds` |\n", "A-2 has more than one row"),
        ("| A-1…3 | x | `it_holds` |\n", "A-3 is not in the list"),
        ("| A-1…2 | x | `it_holds` |\n| A-x | x | `it_holds` |\n", "A-x is no number"),
        ("| A-1…2 |  | `it_holds` |\n", "A-1…2 does not say what must hold"),
        ("| A-1…2 | x |\n", "A-1…2 has neither a test nor a reason after `open:`"),
        ("| A-1…2 | x | it_holds |\n", "A-1…2 has neither a test nor a reason after `open:`"),
        ("| A-1…2 | x | open: |\n", "A-1…2 has neither a test nor a reason after `open:`"),
        ("| A-1…2 | x | `it_holds`; open: |\n", "A-1…2 has neither a test nor a reason after `open:`"),
        ("| A-1…2 | x | `it_did_hold` |\n", "A-1…2 names it_did_hold, which is no test"),
    ] {
        assert_eq!(faults(rows), [fault], "{rows}");
    }
}

/// What the pages are held to: names that only look like tests are not taken for ones.
#[test]
fn only_tests_count_as_tests() {
    let tests = named_tests::all();
    for test in ["only_tests_count_as_tests", "a_swap_turns_the_ratchet_once", "ambiguous_heads_are_refused"] {
        assert!(tests.contains(test), "{test}");
    }
    for other in ["listed", "exchange", "find_end", "assert_problem", ""] {
        assert!(!tests.contains(other), "{other}");
    }
}
