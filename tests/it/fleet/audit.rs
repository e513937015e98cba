//! Looks into the tables again and again while everything runs: I1 (one row, one live token), I11 (an end never moves), I12
//! (no more sessions than allowed).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row as _};

use super::stage::Stage;
use super::token::SessionKey;

/// One session, as the primary has it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    id: Vec<u8>,
    subject: String,
    pub(super) generation: i64,
    hash: Vec<u8>,
    absolute_end: i64,
}

/// What was seen before.
#[derive(Default)]
pub(super) struct Audit {
    seen: HashMap<SessionKey, Row>,
    era: usize,
}

const EVERY: Duration = Duration::from_millis(100);

impl Row {
    pub(super) fn session(&self) -> SessionKey {
        SessionKey(self.id.clone().try_into().unwrap())
    }
}

impl Audit {
    /// What is wrong with these rows, given those of before.
    pub(super) fn look(&mut self, rows: &[Row], era: usize, most: usize) -> Vec<String> {
        if era != self.era {
            // Another server, which may have seen less.
            self.seen.clear();
            self.era = era;
        }
        let mut findings = Vec::new();
        let mut per_subject: HashMap<&str, usize> = HashMap::new();
        let mut rows_of: HashMap<SessionKey, usize> = HashMap::new();
        for row in rows {
            let session = row.session();
            *per_subject.entry(&row.subject).or_default() += 1;
            *rows_of.entry(session).or_default() += 1;
            if let Some(before) = self.seen.insert(session, row.clone()) {
                if before.generation > row.generation {
                    findings
                        .push(format!("I1: {session:?} went back from {} to {}", before.generation, row.generation));
                }
                if before.generation == row.generation && before.hash != row.hash {
                    findings.push(format!("I1: {session:?} has two live tokens of generation {}", row.generation));
                }
                if before.absolute_end != row.absolute_end {
                    findings.push(format!("I11: the absolute end of {session:?} has moved"));
                }
            }
        }
        findings
            .extend(rows_of.iter().filter(|(_, count)| **count > 1).map(|(id, _)| format!("I1: {id:?} has two rows")));
        let crowded = per_subject.iter().filter(|(_, count)| **count > most);
        findings.extend(crowded.map(|(subject, count)| format!("I12: {subject} has {count} sessions, of {most}")));
        findings
    }
}

/// Audits the server that `url` leads to, until the run ends. A server that is away is not asked.
pub(super) async fn audits(stage: Arc<Stage>, url: String, most: usize) {
    let mut audit = Audit::default();
    let mut connection = None;
    while !stage.cue.borrow().stop {
        tokio::time::sleep(EVERY).await;
        let era = stage.record.history().eras.len();
        let looked = tokio::time::timeout(Duration::from_secs(2), look(connection.take(), &url)).await;
        let Ok(Ok((open, rows))) = looked else { continue };
        connection = Some(open);
        // Between two servers nobody knows whose rows these are.
        let mut history = stage.record.history();
        if history.eras.len() == era {
            history.findings.extend(audit.look(&rows, era, most));
            history.audits += 1;
            let ends = rows.iter().map(|row| (row.session(), row.absolute_end));
            history.absolute_ends.extend(ends);
        }
    }
}

async fn look(open: Option<PgConnection>, url: &str) -> Result<(PgConnection, Vec<Row>), sqlx::Error> {
    let mut connection = match open {
        Some(open) => open,
        None => PgConnection::connect(url).await?,
    };
    let rows = rows(&mut connection).await?;
    Ok((connection, rows))
}

/// Every session that is not over.
pub(super) async fn rows(connection: &mut PgConnection) -> Result<Vec<Row>, sqlx::Error> {
    let query = sqlx::query(
        "SELECT s.id, s.subject, s.generation, s.hash, s.absolute_end FROM sidegate.session s
        WHERE s.subject_epoch = coalesce(
            (SELECT epoch FROM sidegate.subject_epoch e WHERE e.realm = s.realm AND e.subject = s.subject), 0)",
    );
    let rows = query.fetch_all(connection).await?;
    let row = |row: &PgRow| Row {
        id: row.get("id"),
        subject: row.get("subject"),
        generation: row.get("generation"),
        hash: row.get("hash"),
        absolute_end: row.get("absolute_end"),
    };
    Ok(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u8, generation: i64, hash: u8) -> Row {
        Row { id: vec![id; 16], subject: "ann".to_owned(), generation, hash: vec![hash; 32], absolute_end: 1 }
    }

    /// What a second look finds after a first one that found nothing.
    fn second_look(first: &[Row], second: &[Row], era: usize) -> Vec<String> {
        let mut audit = Audit::default();
        assert_eq!(audit.look(first, 0, 2), Vec::<String>::new());
        let findings = audit.look(second, era, 2).into_iter();
        findings.map(|finding| finding.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_session_that_moves_on_is_in_order() {
        assert_eq!(second_look(&[row(1, 1, 1), row(2, 1, 1)], &[row(1, 2, 2)], 0), Vec::<String>::new());
    }

    #[test]
    fn steps_back_second_tokens_second_rows_and_moved_ends_are_found() {
        let first = [row(1, 2, 2)];
        assert_eq!(second_look(&first, &[row(1, 1, 1)], 0), ["I1"]);
        assert_eq!(second_look(&first, &[row(1, 2, 9)], 0), ["I1"]);
        assert_eq!(second_look(&[], &[row(1, 2, 2), row(1, 2, 2)], 0), ["I1"]);
        assert_eq!(second_look(&first, &[Row { absolute_end: 2, ..row(1, 2, 2) }], 0), ["I11"]);
        assert_eq!(second_look(&[], &[row(1, 0, 0), row(2, 0, 0), row(3, 0, 0)], 0), ["I12"]);
    }

    #[test]
    fn another_server_may_know_less() {
        assert_eq!(second_look(&[row(1, 2, 2)], &[row(1, 1, 1)], 1), Vec::<String>::new());
    }
}
