// axios with axios-auth-refresh, set up as its documentation shows. It sends no key with a refresh, and several instances of
// it, or several tabs, send the same token at once: `refresh.on_retry = "repeat"` is for such clients.
import assert from 'node:assert/strict';
import axios from 'axios';
import { createAuthRefresh } from 'axios-auth-refresh';
import { EXPIRY, gate, logout, password, seen, serverClockGoesOn, user } from './stage.mjs';

async function signedIn() {
  const { data } = await axios.post(`${gate}/login`, { username: user, password });
  return data;
}

/** An instance that takes its tokens from `store`, a localStorage as it were. */
function instance(store) {
  const api = axios.create({ baseURL: gate });
  api.refreshes = 0;
  api.interceptors.request.use((request) => {
    request.headers.Authorization = `Bearer ${store.access_token}`;
    return request;
  });
  const refresh = async () => {
    api.refreshes += 1;
    const { data } = await axios.post(`${gate}/refresh`, { refresh_token: store.refresh_token });
    Object.assign(store, data);
  };
  // By default a 401 that comes while another one is being dealt with is handed on as an error.
  createAuthRefresh(api, refresh, { deduplicateRefresh: false });
  return api;
}

export async function parallel_401s_all_succeed_in_the_end() {
  const store = await signedIn();
  const api = instance(store);
  const before = store.refresh_token;
  await serverClockGoesOn(EXPIRY);
  const answers = await Promise.all(['/a', '/b', '/c'].map((target) => api.get(target)));

  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
  assert.notEqual(store.refresh_token, before);
  assert.deepEqual((await seen()).map(({ target }) => target).sort(), ['/a', '/b', '/c']);
  await serverClockGoesOn(EXPIRY);
  assert.equal((await api.get('/d')).status, 200, 'the session lives on');
}

export async function two_instances_with_one_token_both_go_on() {
  const store = await signedIn();
  // Each has read its token before the other refreshed, as two tabs do.
  const copies = [{ ...store }, { ...store }, { ...store }];
  const apis = copies.map(instance);
  await serverClockGoesOn(EXPIRY);
  const answers = await Promise.all(apis.map((api) => api.get('/a')));

  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
  assert.deepEqual(apis.map((api) => api.refreshes), [1, 1, 1]);
  assert.equal(new Set(copies.map((copy) => copy.refresh_token)).size, 1, 'all have the same successor');
  assert.notEqual(copies[0].refresh_token, store.refresh_token);
  for (const api of apis) assert.equal((await api.get('/b')).status, 200);
}

export async function it_goes_on_after_every_expiry() {
  const store = await signedIn();
  const api = instance(store);
  const tokens = new Set([store.refresh_token]);
  for (let round = 1; round <= 4; round += 1) {
    await serverClockGoesOn(EXPIRY);
    assert.equal((await api.get(`/${round}`)).status, 200);
    assert.equal(api.refreshes, round);
    tokens.add(store.refresh_token);
  }
  assert.equal(tokens.size, 5);
}

export async function a_posted_body_arrives_once() {
  const api = instance(await signedIn());
  await serverClockGoesOn(EXPIRY);
  assert.equal((await api.post('/orders', { amount: 3 })).status, 200);

  const [order, ...more] = await seen();
  assert.deepEqual([order.target, order.body, order.subject, more], ['/orders', '{"amount":3}', user, []]);
}

export async function a_refresh_after_the_logout_gives_up() {
  const store = await signedIn();
  const api = instance(store);
  await logout(store.refresh_token);
  await assert.rejects(api.get('/a'), (error) => {
    assert.ok(axios.isAxiosError(error), String(error));
    assert.deepEqual([error.response.status, error.response.data.error], [400, 'invalid_grant']);
    return true;
  });
  assert.equal(api.refreshes, 1, 'it does not try for ever');
  assert.deepEqual(await seen(), []);

  await assert.rejects(axios.post(`${gate}/login`, { username: user, password: 'wrong' }), (error) => {
    assert.deepEqual([error.response.status, error.response.data.error], [400, 'invalid_grant']);
    return true;
  });
}
