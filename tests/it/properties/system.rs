//! What a history is played on: the real authority, as two replicas on one store.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sidegate::authority::keyring::Keyring;
use sidegate::authority::keys::OpenedKeys;
use sidegate::authority::passwords::Passwords;
use sidegate::authority::{
    Authority, Directory, LoginRequest, Parts, RefreshError, RefreshRequest, Submitted, TokenPair,
};
use sidegate::clock::{Entropy, SharedClock, Stopwatch};
use sidegate::config::checked::{Argon2, AuditOutput, Config};
use sidegate::config::{self, Surroundings};
use sidegate::domain::keys::Algorithm;
use sidegate::domain::refresh_token::IdempotencyKey;
use sidegate::domain::rotation::RotationPolicy;
use sidegate::domain::secret::OperatorSecret;
use sidegate::domain::session::{Origin, Subject, TokenHash};
use sidegate::domain::time::Timestamp;
use sidegate::domain::user::{Password, PasswordHash};
use sidegate::store::{Replica, ReplicaId, SigningKeys, Store, StoredKey};
use sidegate::telemetry::{Audit, Metrics};

/// Something that issues and refreshes tokens, on any number of replicas.
pub trait System {
    async fn login(&self, replica: usize, name: &str, password: &str, from: &Origin) -> Option<Given>;
    async fn refresh(&self, replica: usize, request: &Presented) -> Answer;
    async fn logout(&self, replica: usize, token: &str) -> bool;
    /// Ends the subject's sessions, on the word of one of its access tokens.
    async fn logout_all(&self, replica: usize, subject: &Subject, access: Option<&str>) -> bool;
    /// Whether an access token is good; `None` if this system makes none.
    fn accepts(&self, replica: usize, access: &str) -> Option<bool>;
    /// Reads the revocations.
    async fn follow(&self, replica: usize);
    /// Tokens that would rotate although no row says so.
    fn hidden(&self) -> Vec<TokenHash> {
        Vec::new()
    }
}

/// A request to `/refresh`.
#[derive(Clone, Debug)]
pub struct Presented {
    pub token: String,
    pub key: Option<String>,
    pub from: Origin,
    pub client: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Given(Given),
    Refused(&'static str),
    Late,
    Unavailable,
    /// What no history should ever lead to.
    Broken(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub refresh: String,
    pub access: Option<String>,
    pub expires_in: u64,
}

/// Lifetimes short enough to be met, and few sessions for each subject.
pub const IDLE: Duration = Duration::from_hours(2);
pub const LONGEST: Duration = Duration::from_hours(5);
pub const MOST: u32 = 2;
pub const ACCESS: Duration = Duration::from_mins(10);
pub const CLIENT: &str = "sidegate-test";
/// In memory: as cheap as argon2 gets.
const ARGON2: Argon2 = Argon2 { memory_kib: 8, slots: 2 };

/// Of every realm here.
pub fn secret() -> OperatorSecret {
    OperatorSecret::new((1..=32).collect()).unwrap()
}

/// The passwords a user has in turn, with their hashes.
pub static PASSWORDS: LazyLock<[(&str, PasswordHash); 2]> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let passwords = Passwords::new(ARGON2, 12, Entropy).unwrap();
    ["correct horse one", "correct horse two"].map(|text| {
        let hash = runtime.block_on(passwords.hash(Password::new(text.into()))).unwrap();
        (text, hash)
    })
});

/// The code under test.
pub struct Real {
    replicas: Vec<Authority>,
}

impl Real {
    pub fn new(realm: &str, store: &Arc<dyn Store>, clock: &SharedClock, policy: &RotationPolicy) -> Self {
        let surroundings = Surroundings { name: "test.toml", base: Path::new(""), variable: &|_| None };
        let mut config = config::parse("", &surroundings).unwrap();
        realm.clone_into(&mut config.realm);
        config.rotation = policy.clone();
        config.key.algorithm = Algorithm::Hs256;
        config.access_token.ttl = ACCESS;
        CLIENT.clone_into(&mut config.access_token.client_id);
        config.session.idle_ttl = IDLE;
        config.session.max_ttl = LONGEST;
        config.session.per_subject = MOST;
        config.rates.login_per_account = None;
        config.rates.login_per_address = None;
        config.rates.refresh_per_session = None;
        config.audit = AuditOutput::Off;
        let start = Timestamp::default();
        let keys = SigningKeys {
            version: 0,
            list: vec![StoredKey {
                key: Keyring::generate(realm, Algorithm::Hs256, &secret(), Entropy).unwrap(),
                added: start,
                signs_from: Some(start),
                banned: None,
            }],
            longest_access_ttl: ACCESS,
            now: start,
        };
        let replica = || {
            let keyring = Keyring::open(realm, &keys, &[secret()]).unwrap();
            authority(&config, keyring, Arc::clone(store), SharedClock::clone(clock))
        };
        Self { replicas: vec![replica(), replica()] }
    }
}

fn authority(config: &Config, keyring: Keyring, store: Arc<dyn Store>, clock: SharedClock) -> Authority {
    let secrets = vec![secret()];
    let fingerprints = vec![secret().fingerprint()];
    let replica = Replica { id: ReplicaId([0; 16]), name: String::new(), secrets: fingerprints, heard: 0 };
    let metrics = Arc::new(Metrics::default());
    let audit = Audit::of_server(&config.audit, &config.realm, SharedClock::clone(&clock), metrics.audit_lost.clone());
    let parts = Parts {
        store,
        keys: OpenedKeys { replica, secrets, keyring },
        live: Vec::new(),
        audit: audit.unwrap(),
        known_secrets: vec![secret().fingerprint()],
        directory: Directory::Users(Passwords::new(ARGON2, 12, Entropy).unwrap()),
        clock,
        entropy: Entropy,
        metrics,
    };
    Authority::new(config, parts)
}

fn given(pair: TokenPair) -> Given {
    Given { refresh: pair.refresh_token.to_string(), access: Some(pair.access_token), expires_in: pair.expires_in }
}

impl System for Real {
    async fn login(&self, replica: usize, name: &str, password: &str, from: &Origin) -> Option<Given> {
        let request = LoginRequest {
            name: name.to_owned(),
            password: Password::new(password.to_owned()),
            submitted: Submitted::default(),
            from: from.clone(),
            user_agent: None,
        };
        self.replicas[replica].login(request).await.outcome.ok().map(given)
    }

    async fn refresh(&self, replica: usize, request: &Presented) -> Answer {
        let request = RefreshRequest {
            in_cookie: false,
            token: request.token.clone().into(),
            client_id: request.client.map(str::to_owned),
            key: request.key.as_deref().map(|key| IdempotencyKey::parse(key).unwrap()),
            scope: None,
            from: request.from.clone(),
            arrived: Stopwatch::start(),
        };
        match self.replicas[replica].refresh(&request).await {
            Ok(pair) => Answer::Given(given(pair)),
            Err(RefreshError::InvalidGrant(word)) => Answer::Refused(word),
            Err(RefreshError::AlreadyRotated) => Answer::Late,
            Err(RefreshError::Unavailable(_)) => Answer::Unavailable,
            Err(
                error @ (RefreshError::Limited(_)
                | RefreshError::Scope
                | RefreshError::SecretNotHere
                | RefreshError::Internal),
            ) => Answer::Broken(format!("{error:?}")),
        }
    }

    async fn logout(&self, replica: usize, token: &str) -> bool {
        self.replicas[replica].logout(token, &Origin::default()).await.is_ok()
    }

    async fn logout_all(&self, replica: usize, _: &Subject, access: Option<&str>) -> bool {
        let replica = &self.replicas[replica];
        let Some(Ok(identity)) = access.map(|access| replica.authenticate(access)) else { return false };
        replica.logout_all(&identity, &Origin::default()).await.is_ok()
    }

    fn accepts(&self, replica: usize, access: &str) -> Option<bool> {
        Some(self.replicas[replica].authenticate(access).is_ok())
    }

    async fn follow(&self, replica: usize) {
        self.replicas[replica].load().await.unwrap();
    }
}
