// What a case plays against, and what it may do beside using its client.
const stage = JSON.parse(process.env.STAGE);

export const { gate, user, password } = stage;

/** The id that sidegate gives its own clients by default. */
export const clientId = 'first-party';

/** The server's clock goes on, and the client's does not know. */
export async function serverClockGoesOn(seconds) {
  await fetch(`${stage.control}/advance/${seconds}`, { method: 'POST' });
}

/** Time passes for everybody. */
export async function timePasses(seconds) {
  await serverClockGoesOn(seconds);
  const now = Date.now;
  Date.now = () => now() + seconds * 1000;
}

/** Longer than an access token lives. */
export const EXPIRY = 11 * 60;

/** What reached the API. */
export async function seen() {
  return (await fetch(`${stage.control}/seen`)).json();
}

export async function logout(refreshToken) {
  const body = new URLSearchParams({ refresh_token: refreshToken });
  const answer = await fetch(`${gate}/logout`, { method: 'POST', body });
  if (answer.status !== 200) throw new Error(`the logout failed: ${answer.status} ${await answer.text()}`);
}
