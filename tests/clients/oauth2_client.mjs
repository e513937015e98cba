// @badgateway/oauth2-client: its OAuth2Fetch refreshes by its own clock, and once more when it meets a 401.
import assert from 'node:assert/strict';
import { OAuth2Client, OAuth2Fetch, OAuth2HttpError } from '@badgateway/oauth2-client';
import { EXPIRY, clientId, gate, logout, password, seen, serverClockGoesOn, timePasses, user } from './stage.mjs';

// It knows one token endpoint; here login and refresh are two.
const login = new OAuth2Client({ server: gate, clientId, tokenEndpoint: '/login' });
const client = new OAuth2Client({ server: gate, clientId, tokenEndpoint: '/refresh' });

/** A client as its documentation shows it. `logins` counts how often it had to ask for the password. */
function signedIn() {
  const stored = [];
  const state = { logins: 0, stored, errors: [] };
  state.wrapper = new OAuth2Fetch({
    client,
    getNewToken: () => {
      state.logins += 1;
      return login.password({ username: user, password });
    },
    storeToken: (token) => stored.push(token),
    onError: (error) => state.errors.push(error),
  });
  return state;
}

async function works(state, target) {
  const answer = await state.wrapper.fetch(`${gate}${target}`);
  assert.equal(answer.status, 200, await answer.text());
}

export async function its_fetch_survives_every_expiry_without_a_word() {
  const state = signedIn();
  await works(state, '/notes/1');
  for (const target of ['/notes/2', '/notes/3', '/notes/4']) {
    await timePasses(EXPIRY);
    await works(state, target);
  }

  assert.equal(state.logins, 1);
  assert.deepEqual(state.errors, []);
  assert.equal(new Set(state.stored.map((token) => token.refreshToken)).size, 4, 'each refresh rotates');
  assert.equal(new Set(state.stored.map((token) => token.accessToken)).size, 4);
  const arrived = await seen();
  assert.deepEqual(arrived.map(({ target }) => target), ['/notes/1', '/notes/2', '/notes/3', '/notes/4']);
  assert.ok(arrived.every(({ subject, authorization }) => subject === user && authorization === null));
}

export async function its_fetch_survives_an_expiry_that_its_own_clock_does_not_show() {
  const state = signedIn();
  await works(state, '/notes/1');
  await serverClockGoesOn(EXPIRY);
  await works(state, '/notes/2');

  assert.equal(state.logins, 1);
  assert.equal(state.stored.length, 2);
}

export async function its_fetch_logs_nobody_out_when_parallel_requests_expire() {
  const state = signedIn();
  await works(state, '/notes/0');
  await serverClockGoesOn(EXPIRY);
  await Promise.all(['/notes/1', '/notes/2', '/notes/3'].map((target) => works(state, target)));

  assert.equal(state.logins, 1);
  // Whoever hears of its 401 after the refresh refreshes again.
  assert.ok(state.stored.length >= 2);
}

export async function it_reads_a_wrong_password_as_invalid_grant() {
  await refusedAs('invalid_grant', () => login.password({ username: user, password: 'wrong' }));
}

export async function it_reads_a_refresh_after_the_logout_as_invalid_grant() {
  const token = await login.password({ username: user, password });
  const next = await client.refreshToken(token);
  assert.notEqual(next.refreshToken, token.refreshToken);
  await logout(next.refreshToken);
  await refusedAs('invalid_grant', () => client.refreshToken(next));
}

export async function it_reads_a_secret_that_no_client_has_as_invalid_client() {
  // With a secret it uses Basic, and here no client has one.
  const secretive = (tokenEndpoint) => new OAuth2Client({ server: gate, clientId, clientSecret: 'x', tokenEndpoint });
  await refusedAs('invalid_client', () => secretive('/login').password({ username: user, password }));
  const token = await login.password({ username: user, password });
  await refusedAs('invalid_client', () => secretive('/refresh').refreshToken(token));
  assert.ok((await client.refreshToken(token)).accessToken, 'nothing was rotated');
}

async function refusedAs(code, attempt) {
  await assert.rejects(attempt, (error) => {
    assert.ok(error instanceof OAuth2HttpError, String(error));
    assert.equal(error.oauth2Code, code);
    return true;
  });
}
