// ky, with the hook that its users write: one refresh at a time, then the request again.
import assert from 'node:assert/strict';
import ky from 'ky';
import { EXPIRY, gate, password, seen, serverClockGoesOn, user } from './stage.mjs';

export async function its_hook_refreshes_once_for_parallel_requests() {
  let tokens = await ky.post(`${gate}/login`, { json: { username: user, password } }).json();
  let refreshing;
  let refreshes = 0;
  const refresh = async () => {
    refreshes += 1;
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    tokens = await ky.post(`${gate}/refresh`, { json: { refresh_token: tokens.refresh_token }, headers }).json();
  };
  const api = ky.create({
    prefixUrl: gate,
    hooks: {
      beforeRequest: [(request) => request.headers.set('Authorization', `Bearer ${tokens.access_token}`)],
      afterResponse: [
        async (request, _options, response) => {
          if (response.status !== 401) return response;
          refreshing ??= refresh().finally(() => (refreshing = undefined));
          await refreshing;
          const again = new Request(request);
          again.headers.set('Authorization', `Bearer ${tokens.access_token}`);
          return ky(again);
        },
      ],
    },
  });

  for (const round of [1, 2]) {
    await serverClockGoesOn(EXPIRY);
    const answers = await Promise.all(['a', 'b', 'c'].map((target) => api.get(target)));
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
    assert.equal(refreshes, round);
  }
  assert.equal((await seen()).length, 6);
}
