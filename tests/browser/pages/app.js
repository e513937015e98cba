// A page as people write them. What its script is told is kept for the test to look at.
import * as sidegate from "/page/sidegate.js";

const parameters = new URLSearchParams(location.search);
const events = [];
const client = sidegate.createClient({
  base: parameters.get("base") ?? location.origin,
  timeout: Number(parameters.get("timeout") ?? 10_000),
  ...(parameters.has("memory") && { storage: sidegate.memoryStorage() }),
  onSignedOut: (why) => events.push({ type: "onSignedOut", why }),
  onEvent: (event) => events.push(event),
});

async function call(path, init) {
  try {
    const answer = await client.fetch(path, init);
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

Object.assign(globalThis, { sidegate, client, events, call });
addEventListener("pageshow", (event) => {
  if (event.persisted) events.push({ type: "restored" });
});
document.documentElement.dataset.ready = "yes";
