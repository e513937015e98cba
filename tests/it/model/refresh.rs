//! One refresh, statement by statement, as `src/authority/refresh.rs` has it; and where wrong rules differ.

use sidegate::domain::rotation::{Attempt, SessionState, Suspicion, Verdict, judge};
use sidegate::domain::session::{Origin, RecentRotation, Session, SessionId, Subject};
use sidegate::domain::time::Timestamp;

use super::book::{Token, salt};
use super::scope::{Event, Rule};
use super::state::{Answer, Ended, Request, Row, Stage, State, Store, Todo, Turn, at, at_on};
use super::world::World;

/// Where a request is served, and since when.
#[derive(Clone, Copy)]
pub struct Place {
    pub replica: u8,
    pub arrived: u8,
}

impl World {
    pub fn deliver(&self, state: &mut State, index: usize, replica: u8, twice: bool) {
        let request = state.requests.remove(index);
        if twice {
            state.left.doubles -= 1;
            state.requests.push(Request { id: request.id + 1, ..request });
        }
        self.arrive(state, request, replica);
    }

    pub fn arrive(&self, state: &mut State, request: Request, replica: u8) {
        let session = usize::from(request.token.session);
        let memory = &state.replicas[usize::from(replica)];
        let place = Place { replica, arrived: state.now };
        if memory.sessions[session].is_some() && !memory.unstored[session] {
            return self.answer(state, request, Answer::Ended);
        }
        go_on(state, request, place, Todo::Swap { live: request.token, behind: 0, looked: false });
    }

    pub fn proceed(&self, state: &mut State, index: usize) {
        let Some((request, place, todo)) = at_work(state, index) else { return };
        match todo {
            Todo::Swap { live, behind, looked } => {
                if let Some(todo) = self.swap_by_another_rule(state, &request) {
                    return go_on(state, request, place, todo);
                }
                if !self.swap(state, &request, live, behind) {
                    return go_on(state, request, place, Todo::Read { looked });
                }
                let token = self.book.successor(request.token, request.id);
                if state.left.may_differ() || !state.endings.is_empty() {
                    return go_on(state, request, place, Todo::Give(token));
                }
                // Nothing can come in between.
                self.give(state, request, place, token);
            }
            Todo::Write => {
                self.write(state, &request);
                go_on(state, request, place, Todo::Give(self.book.successor(request.token, request.id)));
            }
            Todo::Read { looked } => self.read(state, request, place, looked),
            Todo::End => {
                state.store.end_session(request.token.session);
                state.told[usize::from(request.token.session)] = true;
                if self.scope.rule == Rule::TheftEndsAll {
                    state.store.rows = [None, None];
                }
                self.answer(state, request, Answer::Ended);
            }
            Todo::Give(token) => self.give(state, request, place, token),
        }
    }

    /// The statement is not carried out, and says so.
    pub fn fail(&self, state: &mut State, index: usize) {
        let Some((request, place, todo)) = at_work(state, index) else { return };
        state.left.faults -= 1;
        match todo {
            Todo::Swap { looked, .. } => {
                if self.scope.rule == Rule::MarkSurvivesUndo
                    && let Some(row) = &mut state.store.rows[usize::from(request.token.session)]
                {
                    row.mark = Some(request.token);
                }
                if self.scope.rule == Rule::GivesWhatIsNotStored {
                    return self.answer(state, request, Answer::Given(self.book.successor(request.token, request.id)));
                }
                go_on(state, request, place, Todo::Read { looked });
            }
            // Unavailable: the client asks again.
            _ => state.replicas[usize::from(place.replica)].unstored[usize::from(request.token.session)] = true,
        }
    }

    pub fn unanswered(&self, state: &mut State, index: usize) {
        let Some((request, place, Todo::Swap { live, behind, looked })) = at_work(state, index) else { return };
        state.left.faults -= 1;
        self.swap(state, &request, live, behind);
        go_on(state, request, place, Todo::Read { looked });
    }

    /// The statement: says whether it changed the row.
    fn swap(&self, state: &mut State, request: &Request, live: Token, behind: u8) -> bool {
        let fits = state.store.alive(request.token.session).is_some_and(|row| {
            (row.live == live && row.live.generation + behind == request.token.generation)
                || row.others.contains(&request.token)
                || (self.scope.rule == Rule::RestartForgetsUsed && row.mark.is_some())
        });
        if fits {
            if behind > 0 {
                self.adopts(state, request);
            }
            self.turn(state, request);
        }
        fits
    }

    fn turn(&self, state: &mut State, request: &Request) {
        self.reach(Event::Turned);
        let child = self.book.successor(request.token, request.id);
        let entry = RecentRotation {
            generation: request.token.generation.into(),
            at: at(state.now),
            key: request.key.map(|key| self.book.mac(request.token, key)),
        };
        let window_start = at(state.now).minus(self.scope.policy.longest_window());
        let (now, server, elsewhere) = (state.now, state.store.server, request.elsewhere);
        if let Some(row) = &mut state.store.rows[usize::from(request.token.session)] {
            row.recent = row.recent.after(entry, at(row.rotated), window_start);
            row.others.retain(|other| *other != request.token);
            (row.live, row.salt) = (child, Some(request.id));
            (row.rotated, row.server, row.elsewhere) = (now, server, elsewhere);
        }
        Self::has_turned(state, request, child);
    }

    fn has_turned(state: &mut State, request: &Request, child: Token) {
        Self::must_be_allowed_to_turn(state, request, child);
        let (parent, at, key, by, server) = (request.token, state.now, request.key, request.id, state.store.server);
        state.store.turns.push(Turn { parent, child, at, key, by, server });
    }

    fn read(&self, state: &mut State, request: Request, place: Place, looked: bool) {
        let verdict = self.verdict(&state.store, &request, place);
        Self::must_be_judged_so(state, &request, place.arrived, &verdict);
        match verdict {
            Verdict::Live => go_on(state, request, place, Todo::Swap { live: request.token, behind: 0, looked }),
            Verdict::Adopt => self.adopt(state, request, place),
            Verdict::Ahead if !looked && self.adopts_at_all() => {
                self.read_page(state, place.replica);
                go_on(state, request, place, Todo::Swap { live: request.token, behind: 0, looked: true });
            }
            Verdict::Mine => {
                self.reach(Event::Mine);
                let token = self.book.successor(request.token, request.id);
                self.give_again(state, request, place, token);
            }
            Verdict::Repeat(token) => {
                self.reach(Event::Repeated);
                let token = match self.scope.rule {
                    Rule::SiblingPerRetry => self.add_sibling(state, &request),
                    _ => self.book.named(&token),
                };
                self.give_again(state, request, place, token);
            }
            Verdict::Late => {
                self.reach(Event::Late);
                match state.store.alive(request.token.session).map(|row| row.live) {
                    Some(live) if self.scope.rule == Rule::AnyAncestorIsServed => {
                        self.give_again(state, request, place, live);
                    }
                    _ => self.answer(state, request, Answer::Late),
                }
            }
            Verdict::Ended => self.answer(state, request, Answer::Ended),
            Verdict::Ahead => {
                self.reach(Event::Ahead);
                self.answer(state, request, Answer::Ahead);
            }
            Verdict::Reuse(_) => {
                self.reach(Event::Theft);
                let ended = Ended::Session(request.token.session);
                state.replicas[usize::from(place.replica)].hold(ended);
                go_on(state, request, place, Todo::End);
            }
        }
    }

    /// What the program says to this token and this row.
    fn verdict(&self, store: &Store, request: &Request, place: Place) -> Verdict {
        let (home, away) = (origin(false), origin(true));
        let token = self.book.real(request.token);
        let attempt = Attempt {
            token: &token,
            client: "client",
            successor: Some(self.book.hash(self.book.successor(request.token, request.id))),
            key: request.key.map(|key| self.book.mac(request.token, key)),
            in_cookie: false,
            from: if request.elsewhere { &away } else { &home },
            arrived: at(place.arrived),
        };
        let row = store.rows[usize::from(request.token.session)].as_ref();
        if row.is_some_and(|row| row.mark == Some(request.token)) && self.scope.rule == Rule::MarkSurvivesUndo {
            return Verdict::Reuse(Suspicion::Unconfirmed);
        }
        let known = row.map(|row| self.as_stored(row));
        let state = known.map(|session| SessionState {
            session,
            current: store.epochs(),
            now: at(place.arrived),
            rollback: store.rollback,
        });
        let verdict = judge(&attempt, state.as_ref(), &self.book.ratchet, &self.scope.policy);
        let is_parent = row.is_some_and(|row| request.token.generation + 1 == row.live.generation);
        match (&verdict, self.scope.rule) {
            (Verdict::Late | Verdict::Repeat(_), Rule::StrictOneTimeUse) => Verdict::Reuse(Suspicion::Unconfirmed),
            (Verdict::Late, Rule::OnlyTheParentIsLate) if !is_parent => Verdict::Reuse(Suspicion::Confirmed),
            _ => verdict,
        }
    }

    fn as_stored(&self, row: &Row) -> Session {
        let far = Timestamp::from_secs(1_000_000);
        Session {
            id: SessionId::from_bytes([row.live.session + 1; 16]),
            subject: Subject::parse("ann").unwrap(),
            client: "client".into(),
            generation: row.live.generation.into(),
            hash: self.book.hash(row.live),
            salt: row.salt.map(salt),
            recent: row.recent.clone(),
            epochs: row.epochs,
            created: at(0),
            rotated: at_on(row.server, row.rotated),
            idle_end: far,
            absolute_end: far,
            login_from: origin(false),
            last_from: origin(row.elsewhere),
            claims: serde_json::Map::new(),
            label: None,
            vault: None,
        }
    }

    /// The swap is stored; the replica looks into its memory once more.
    fn give(&self, state: &mut State, request: Request, place: Place, token: Token) {
        let session = request.token.session;
        let epochs = state.store.alive(session).map_or(state.store.epochs(), |row| row.epochs);
        if state.replicas[usize::from(place.replica)].has_ended(session, epochs) {
            self.reach(Event::EndedWhileGiving);
            state.replicas[usize::from(place.replica)].hold(Ended::Session(session));
            return go_on(state, request, place, Todo::End);
        }
        self.answer(state, request, Answer::Given(token));
    }

    fn give_again(&self, state: &mut State, request: Request, place: Place, token: Token) {
        self.must_be_allowed_to_have(state, &request, place.arrived, token);
        self.answer(state, request, Answer::Given(token));
    }

    fn answer(&self, state: &mut State, request: Request, answer: Answer) {
        if !request.thief {
            return state.requests.push(Request { stage: Stage::Answered(answer), ..request });
        }
        if let Answer::Given(token) = answer {
            self.reach(Event::StolenGiven);
            state.stolen = Some(token);
        }
    }

    fn swap_by_another_rule(&self, state: &mut State, request: &Request) -> Option<Todo> {
        let row = state.store.rows[usize::from(request.token.session)].as_mut()?;
        let is_live = row.live == request.token || row.others.contains(&request.token);
        match self.scope.rule {
            Rule::CheckThenWrite if is_live => Some(Todo::Write),
            Rule::LogoutBesideTheLock if row.locked => {
                Some(Todo::Swap { live: request.token, behind: 0, looked: false })
            }
            Rule::LogoutBesideTheLock if is_live => {
                row.locked = true;
                Some(Todo::Write)
            }
            _ => None,
        }
    }

    /// Without a look at what has become of the row meanwhile.
    fn write(&self, state: &mut State, request: &Request) {
        let epochs = state.store.epochs();
        let child = self.book.successor(request.token, request.id);
        let row = &mut state.store.rows[usize::from(request.token.session)];
        match row {
            Some(row) if row.live == request.token => row.locked = false,
            Some(row) => {
                row.others.push(child);
                return Self::has_turned(state, request, child);
            }
            None => *row = Some(Row { epochs, ..self.first_row(request.token.session) }),
        }
        self.turn(state, request);
    }

    fn add_sibling(&self, state: &mut State, request: &Request) -> Token {
        let sibling = self.book.successor(request.token, request.id);
        if let Some(row) = &mut state.store.rows[usize::from(request.token.session)] {
            row.others.push(sibling);
        }
        Self::has_turned(state, request, sibling);
        sibling
    }
}

fn at_work(state: &mut State, index: usize) -> Option<(Request, Place, Todo)> {
    let request = state.requests.remove(index);
    match request.stage {
        Stage::At { replica, arrived, todo } => Some((request, Place { replica, arrived }, todo)),
        _ => None,
    }
}

pub fn go_on(state: &mut State, request: Request, Place { replica, arrived }: Place, todo: Todo) {
    state.requests.push(Request { stage: Stage::At { replica, arrived, todo }, ..request });
}

fn origin(elsewhere: bool) -> Origin {
    if elsewhere {
        Origin::new(Some([10, 0, 0, 2].into()), Some("away"))
    } else {
        Origin::new(Some([10, 0, 0, 1].into()), Some("home"))
    }
}
