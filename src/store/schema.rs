//! Whether the tables are this version's.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::StoreError;

/// One migration: its number and the hash of its text.
pub(super) type Step = (i64, Vec<u8>);

/// What was done to a store's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) steps: Vec<Step>,
    /// The oldest version whose programs can work with the tables as they are now; `None` if nobody has said.
    pub(super) usable_since: Option<i64>,
}

/// The migrations of a store, each with its number, its name and its text.
pub(super) fn migrator<const N: usize>(steps: [(i64, &'static str, &'static str); N]) -> Migrator {
    let migration = |(version, name, text): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.map(migration).into())
}

/// What has to be done before the tables can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Current,
    /// Migrations of ours that have not been applied yet.
    Behind(usize),
}

/// Compares what was applied with what this version has. Tables that a later version has migrated are current, too, if
/// that version says that this one can work with them: while replicas are replaced, two versions share the tables.
///
/// # Errors
/// [`StoreError::Schema`] if something was applied that this version does not know, nor is known by: it must keep its
/// hands off.
pub(super) fn standing(applied: &Applied, ours: &[Step]) -> Result<Standing, StoreError> {
    let newest = ours.iter().map(|(version, _)| *version).max().unwrap_or(0);
    let mut known = 0;
    for (version, checksum) in &applied.steps {
        match ours.iter().find(|(known, _)| known == version) {
            Some((_, expected)) if expected == checksum => known += 1,
            Some(_) => {
                let why = format!("migration {version} is another than this version's; hint: another build made it");
                return Err(StoreError::Schema(why));
            }
            None if *version > newest && applied.usable_since.is_some_and(|since| since <= newest) => {}
            None => {
                let why = format!(
                    "it is newer: migration {version} was applied, this version knows {newest}; \
                     hint: run the sidegate that migrated it, or a later one"
                );
                return Err(StoreError::Schema(why));
            }
        }
    }
    match ours.len() - known {
        0 => Ok(Standing::Current),
        missing => Ok(Standing::Behind(missing)),
    }
}

/// Like [`standing`], when being behind is an error too.
pub(super) fn require_current(applied: &Applied, ours: &[Step]) -> Result<(), StoreError> {
    let why = match standing(applied, ours)? {
        Standing::Current => return Ok(()),
        Standing::Behind(_) if applied.steps.is_empty() => "it has no tables yet",
        Standing::Behind(_) => "it is older",
    };
    Err(StoreError::Schema(format!("{why}; hint: run `sidegate migrate`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(versions: &[i64]) -> Vec<Step> {
        versions.iter().map(|version| (*version, vec![u8::try_from(*version).unwrap()])).collect()
    }

    fn applied(versions: &[i64], usable_since: Option<i64>) -> Applied {
        Applied { steps: steps(versions), usable_since }
    }

    #[test]
    fn the_same_steps_are_current_and_fewer_are_behind() {
        assert_eq!(standing(&applied(&[1, 2], None), &steps(&[1, 2])), Ok(Standing::Current));
        assert_eq!(standing(&applied(&[1], None), &steps(&[1, 2])), Ok(Standing::Behind(1)));
        let error = require_current(&applied(&[1], None), &steps(&[1, 2])).unwrap_err();
        assert!(error.to_string().contains("it is older; hint: run `sidegate migrate`"), "{error}");
        let error = require_current(&Applied::default(), &steps(&[1])).unwrap_err();
        assert!(error.to_string().contains("it has no tables yet; hint: run `sidegate migrate`"), "{error}");
    }

    #[test]
    fn a_newer_or_a_foreign_schema_is_refused() {
        let error = standing(&applied(&[1, 3], None), &steps(&[1, 2])).unwrap_err();
        assert!(error.to_string().contains("it is newer: migration 3 was applied, this version knows 2"), "{error}");
        let error = standing(&Applied { steps: vec![(1, vec![9])], usable_since: None }, &steps(&[1])).unwrap_err();
        assert!(error.to_string().contains("migration 1 is another"), "{error}");
    }
    #[test]
    fn a_newer_schema_is_used_if_it_says_that_this_version_can() {
        let ours = steps(&[1, 2]);
        assert_eq!(standing(&applied(&[1, 2, 3, 4], Some(2)), &ours), Ok(Standing::Current));
        assert!(standing(&applied(&[1, 2, 3], Some(3)), &ours).is_err());
        assert_eq!(standing(&applied(&[1, 3], Some(2)), &ours), Ok(Standing::Behind(1)), "what is missing is missing");
        assert!(standing(&applied(&[1, 2, 0], Some(1)), &ours).is_err(), "not a later one");
    }
}
