// A front end on another origin than the gate: the site's own address, without the gate.
import assert from "node:assert/strict";
import { call, isSignedIn, told } from "./stage.mjs";

const signedIn = (stage) => stage.signedIn(`?base=${stage.address}`, { at: stage.site });

export async function a_front_end_on_another_origin_survives_an_expiry(stage) {
  const page = await signedIn(stage);
  await stage.expire();
  const statuses = await page.evaluate(
    (base) =>
      Promise.all(
        Array.from({ length: 20 }, async (_, number) => {
          const init = { method: "PUT", headers: { "X-Number": number }, body: "words" };
          return (await client.fetch(`${base}/api/notes/${number}`, init)).status;
        }),
      ),
    stage.address,
  );
  assert.deepEqual(statuses, Array(20).fill(200));
  assert.equal(await stage.count("refreshes"), 1);

  await stage.expire();
  await stage.tell("store/lock");
  assert.equal((await call(page, `${stage.address}/api/notes`)).status, 503, "a script can read the refusal");
  assert.deepEqual((await told(page, "unavailable")).map((event) => event.wait), [2000, 2000, null]);
  await stage.tell("store/unlock");

  await page.evaluate(() => client.logoutEverywhere());
  assert.equal((await call(page, `${stage.address}/api/notes`)).status, 401);
}

export async function an_origin_that_is_not_listed_gets_nowhere(stage) {
  const page = await stage.tab(`?base=${stage.address}`, { at: stage.site.replace("127.0.0.1", "evil.example") });
  const error = await page.evaluate(
    ([user, password]) => client.login(user, password).catch((error) => error.name),
    [stage.user, stage.password],
  );
  assert.equal(error, "TypeError");
  assert.equal(await isSignedIn(page), false);
  assert.equal(await stage.count("logins"), 0);
}
