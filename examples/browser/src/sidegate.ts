/**
 * A session at a sidegate, for the scripts of a page: `fetch` with an access token that renews itself.
 *
 * A request that is answered with 401 because its token has expired is sent once more with a new one; whoever called
 * sees only the second answer. However many requests and tabs are hit at once, one refresh is sent. It carries an
 * `Idempotency-Key` that was stored together with the refresh token, so that a lost answer is repeated by the server,
 * and a retry is never taken for a theft, not even after a reload.
 *
 * The access token is kept in memory. Tokens are sent to the origin of `base` and to no other.
 */

/** Paths of sidegate's endpoints. */
export type Endpoints = typeof USUAL;

/** Where the refresh token is kept: `localStorage`, or anything of that shape. It is the same one for all tabs, or this
 * page's own. `sessionStorage` is neither: a duplicated tab gets a copy of it, and is refused. */
export type TokenStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export interface Options {
  /** Where sidegate is: `https://api.example`, or `location.origin`. */
  base: string;
  /** Where they are not the usual ones. */
  endpoints?: Partial<Endpoints>;
  /** Default: `localStorage`, which all tabs share and which outlives a reload. */
  storage?: TokenStorage;
  /** The login that this page took part in is over, and what it shows of that person is to go. Called once for each. */
  onSignedOut?: (why: SignedOut) => void;
  /** What happens, as it happens: for logs and demonstrations. Never holds a token. */
  onEvent?: (event: ClientEvent) => void;
  /** How long the answer to a refresh or a logout is waited for before it is asked again, in milliseconds. Default: 10 s.
   * The answer to a login is waited for six times as long, and not asked for again. */
  timeout?: number;
}

/** `logout`: somebody asked for it. `ended`: the server no longer knows the session. `replaced`: somebody has logged in
 * in another tab, the same person or not. A login on this page is told to whoever asked for it, and to nobody else. */
export type SignedOut = "logout" | "ended" | "replaced";

export type ClientEvent =
  | { type: "signed-in"; here: boolean }
  | { type: "request" | "retry"; id: number; method: string; url: string }
  | { type: "answer"; id: number; status: number }
  | { type: "refresh"; attempt: number }
  /** A new access token; `expiresIn` is in seconds, from the moment the server made it. */
  | { type: "tokens"; from: "login" | "refresh" | "another tab"; expiresIn: number }
  /** The refresh could not be done now and is tried again after `wait` milliseconds, or given up for now (`null`). */
  | { type: "unavailable"; status: number | null; wait: number | null }
  | { type: "signed-out"; why: SignedOut };

/** One of the user's sessions, as `GET /auth/sessions` tells it. Times are RFC 3339. */
export interface Session {
  id: string;
  current: boolean;
  created: string;
  last_used: string;
  ends: string;
  address: string | null;
  user_agent: string | null;
}

export interface Client {
  /** Whether there is a session, as far as is known here. */
  readonly signedIn: boolean;
  /** Starts a session, in all tabs, and ends the one before. Rejects with a {@link SidegateError} (`invalid_grant`: a
   * wrong name or password), or a TypeError: there was no answer. */
  login(name: string, password: string): Promise<void>;
  /** As the global `fetch`. A 401 that comes out of it means that nobody is signed in any more, or somebody
   * else is, or that the API itself said so.
   * While a refresh is not possible it rejects as without a network, or gives the 429 or 503 that the refresh got. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Ends the session: here at once, on the server if it can be reached, which the result tells. */
  logout(): Promise<boolean>;
  /** Ends all sessions of the user, everywhere. Rejects with a {@link SidegateError}; then nothing has ended here. */
  logoutEverywhere(): Promise<void>;
  /** Sets a new password, which ends all other sessions of the user. Rejects with a {@link SidegateError}. */
  changePassword(current: string, next: string): Promise<void>;
  /** Where the user is signed in. Rejects with a {@link SidegateError}. */
  sessions(): Promise<Session[]>;
  /** Ends one session of the user. Rejects with a {@link SidegateError}. */
  endSession(id: string): Promise<void>;
}

/** An answer of sidegate that is no success. */
export class SidegateError extends Error {
  constructor(
    readonly status: number,
    /** As in RFC 6749 §5.2: `invalid_grant`, `temporarily_unavailable`, … */
    readonly code: string,
    message: string,
    /** Seconds after which it is worth trying again, if the server said so. */
    readonly retryAfter: number | null,
  ) {
    super(message);
    this.name = "SidegateError";
  }
}

/** One pair of tokens of one login; known to the tabs of this browser only. */
interface Name {
  login: string;
  /** The `Idempotency-Key` of the one rotation that the pair will ever have. */
  key: string;
}

/** What is stored. */
interface Stored extends Name {
  refresh: string;
}

/** What is not. */
interface Access extends Name {
  token: string;
  expiresIn: number;
  /** When it expires, by the clock of this machine. */
  until: number;
}

/** What the tabs tell each other. */
type Message =
  /** `before` is the key of the pair that was turned: what is stored may reach another tab later than this. */
  | { type: "tokens"; access: Access; before: string | null }
  | { type: "who has"; key: string }
  | { type: "signed-out"; login: string | null; why: SignedOut };

/** What became of the wish for a fresh access token. */
type Renewed =
  | { is: "fresh"; access: Access }
  /** The login is over, or the server does not understand us. */
  | { is: "none" }
  /** Not now: the answer that said so, or why there was none. The session lives. */
  | { is: "later"; answer: Response | TypeError };

type More = { headers?: Record<string, string>; keepalive?: boolean };
type Pair = { access_token: string; refresh_token: string; expires_in: number };

const USUAL = {
  login: "/login",
  refresh: "/refresh",
  logout: "/logout",
  logoutAll: "/auth/logout-all",
  password: "/auth/password",
  sessions: "/auth/sessions",
};

const ATTEMPTS = 3;
/** A refresh that may be tried again only after this long, or longer, is given up for now. In milliseconds. */
const PATIENCE = 10_000;
/** How long another tab is waited for that has the access token: longer when there must be one. In milliseconds. */
const NEIGHBOUR = { surely: 5_000, perhaps: 100 };

export function createClient(options: Options): Client {
  const base = new URL(options.base, globalThis.location?.href);
  const prefix = base.href.replace(/[?#].*$/, "").replace(/\/+$/, "");
  const endpoints = { ...USUAL, ...options.endpoints };
  const place = `sidegate ${prefix}`;
  const storage = options.storage ?? allowed(() => localStorage) ?? memoryStorage();
  if (storage === allowed(() => sessionStorage)) {
    throw new TypeError(
      "sessionStorage is copied into a duplicated tab, and the copy of a refresh token ends the session; " +
        "hint: use localStorage or memoryStorage()",
    );
  }
  const timeout = options.timeout ?? 10_000;
  const emit = (event: ClientEvent): void => options.onEvent?.(event);

  let access: Access | null = null;
  /** The login this page takes part in; `null`: nobody is signed in. */
  let login: string | null = null;
  let renewing: { of: string; result: Promise<Renewed> } | null = null;
  let notBefore: { time: number; answer: Response } | null = null;
  let channel: BroadcastChannel | null = null;
  const waiting: (() => void)[] = [];
  let requests = 0;
  /** What could not be stored: good for this page only, and until another login is stored. */
  let unstored: Stored | null = null;

  // What is kept.

  function read(): Stored | null {
    try {
      const stored = JSON.parse(storage.getItem(place) ?? "null") as Stored | null;
      return stored && stored.login && stored.refresh && stored.key ? stored : unstored;
    } catch {
      return unstored;
    }
  }

  /** What is stored now, after this page has followed what other tabs have done to it. */
  function current(): Stored | null {
    const stored = read();
    if (login !== null && stored?.login !== login) ended(stored ? "replaced" : "logout");
    if (stored && stored.login !== login) {
      enter(stored.login);
      emit({ type: "signed-in", here: false });
    }
    return stored;
  }

  /** What was known of another login is of no use for this one. */
  function enter(next: string): void {
    if (next === login) return;
    login = next;
    access = null;
    notBefore = null;
  }

  function keep(pair: Pair, name: Name, before: string | null, from: "login" | "refresh"): Access {
    const stored: Stored = { ...name, refresh: pair.refresh_token };
    unstored = null;
    try {
      storage.setItem(place, JSON.stringify(stored));
    } catch {
      // It is full. What is left in it is spent: whoever sent it once more would be taken for a thief.
      storage.removeItem(place);
      unstored = stored;
    }
    enter(name.login);
    const expiresIn = pair.expires_in;
    access = { ...name, token: pair.access_token, expiresIn, until: Date.now() + expiresIn * 1000 };
    tell({ type: "tokens", access, before });
    emit({ type: "tokens", from, expiresIn });
    return access;
  }

  /** Ends the session in all tabs. */
  function end(why: SignedOut): void {
    tell({ type: "signed-out", login, why });
    ended(why);
  }

  /** Forgets the session, and says so if there was one. */
  function ended(why: SignedOut): void {
    const was = login;
    login = null;
    access = null;
    if (was === null) return;
    if (read()?.login === was) storage.removeItem(place);
    unstored = null;
    emit({ type: "signed-out", why });
    options.onSignedOut?.(why);
  }

  // Other tabs.

  function tell(message: Message): void {
    channel?.postMessage(message);
  }

  function heard(message: Message): void {
    if (message.type === "tokens") {
      const stored = current();
      const { access: theirs, before } = message;
      const isOurs = stored?.login === theirs.login && (stored.key === theirs.key || stored.key === before);
      if (!isOurs || access?.token === theirs.token) return;
      access = theirs;
      emit({ type: "tokens", from: "another tab", expiresIn: theirs.expiresIn });
      for (const go of waiting.splice(0)) go();
    } else if (message.type === "who has") {
      if (access?.key === message.key && Date.now() < access.until) tell({ type: "tokens", access, before: null });
    } else if (message.login === login) {
      ended(message.why);
    }
  }

  /** Asks the other tabs for the access token that came with this key, and waits until there is one, or for so long. */
  function ask(key: string, patience: number): Promise<void> {
    if (!channel) return Promise.resolve();
    return new Promise((resolve) => {
      setTimeout(resolve, patience);
      waiting.push(resolve);
      tell({ type: "who has", key });
    });
  }

  function open(): void {
    if (channel || typeof BroadcastChannel === "undefined") return;
    channel = new BroadcastChannel(place);
    channel.onmessage = (event: MessageEvent<Message>) => heard(event.data);
  }

  // Asking the server.

  /** The whole answer, or a TypeError: without one, or with half of one, it is not known what the server has done. */
  async function call(path: string, fields: object, patience: number, more: More = {}): Promise<Response> {
    try {
      // A redirect is never followed: it would carry a password or a refresh token to wherever it points.
      const answer = await globalThis.fetch(prefix + path, {
        method: "POST",
        body: JSON.stringify(fields),
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(patience),
        ...more,
        headers: { "Content-Type": "application/json", ...more.headers },
      });
      const body = await answer.arrayBuffer();
      return new Response(body.byteLength ? body : null, answer);
    } catch (error) {
      throw error instanceof TypeError ? error : new TypeError(`${path} was not answered`);
    }
  }

  /** An access token of this login other than `stale`. One renewal at a time, for all requests of this page and all its
   * tabs. */
  async function renewed(of: string, stale: string | null): Promise<Renewed> {
    if (current()?.login !== of) return { is: "none" };
    if (access && access.token !== stale) return { is: "fresh", access };
    if (renewing?.of !== of) {
      const result = alone((isAlone) => renew(of, stale, isAlone)).finally(() => {
        if (renewing?.result === result) renewing = null;
      });
      renewing = { of, result };
    }
    return renewing.result;
  }

  /** One tab at a time, if there are locks (not without HTTPS). Who has held the lock for long, or sleeps on it, loses
   * it, and is no longer alone. */
  async function alone<T>(work: (isAlone: () => boolean) => Promise<T>): Promise<T> {
    let begun: Promise<T> | null = null;
    let isAlone = false;
    const begin = (): Promise<T> => (begun ??= work(() => isAlone));
    const locked = async (options: LockOptions, isFree: boolean): Promise<void> => {
      const granted = (): Promise<T> => ((isAlone = isFree), begin());
      await globalThis.navigator?.locks?.request(place, options, granted).catch(() => (isAlone = false));
    };
    await locked({ signal: AbortSignal.timeout(timeout) }, true);
    if (!begun) await locked({ steal: true }, false);
    return begin();
  }

  async function renew(of: string, stale: string | null, isAlone: () => boolean): Promise<Renewed> {
    let questioned: string | null = null;
    for (let attempt = 1; ; ) {
      const stored = current();
      if (stored?.login !== of) return { is: "none" };
      if (access && access.token !== stale) return { is: "fresh", access };
      if (access?.key !== stored.key && questioned !== stored.key) {
        questioned = stored.key;
        await ask(stored.key, access ? NEIGHBOUR.surely : NEIGHBOUR.perhaps);
        continue;
      }
      const early = notBefore ? notBefore.time - performance.now() : 0;
      if (notBefore && early > PATIENCE) return { is: "later", answer: notBefore.answer.clone() };
      if (early > 0) {
        await sleep(early);
        continue;
      }

      emit({ type: "refresh", attempt });
      const answer = await turned(stored);
      // Another tab may have logged in or out meanwhile, or refreshed where there are no locks: then this is too late.
      if (read()?.key !== stored.key) continue;
      if (answer === "refused") {
        end("ended");
        return { is: "none" };
      }
      if ("access_token" in answer) {
        // Tabs that are not alone may get the same pair at once, and must give it the same key. Otherwise nobody is to
        // foresee it: who has copied what was stored is noticed by the key that they lack.
        const key = isAlone() ? random() : following(stored.key);
        return { is: "fresh", access: keep(answer, { login: of, key }, stored.key, "refresh") };
      }
      const wait = pause(answer, attempt++);
      emit({ type: "unavailable", status: answer instanceof Response ? answer.status : null, wait });
      if (wait === null) return isTemporary(answer) ? { is: "later", answer } : { is: "none" };
      await sleep(wait);
    }
  }

  /** One refresh: the new pair, that there is no such session, another answer, or why none came. */
  async function turned(stored: Stored): Promise<Pair | "refused" | Response | TypeError> {
    try {
      const fields = { grant_type: "refresh_token", refresh_token: stored.refresh };
      const answer = await call(endpoints.refresh, fields, timeout, { headers: { "Idempotency-Key": stored.key } });
      if (answer.ok) return await pairIn(answer);
      // That there is no such session. Nothing else may sign anybody out.
      return answer.status === 400 && (await problem(answer)).code === "invalid_grant" ? "refused" : answer;
    } catch (error) {
      return error as TypeError;
    }
  }

  /** Ends a session on the server, if it can be reached. Any token of it will do, so that a refresh under way need not
   * be waited for. */
  async function quit({ refresh }: Stored): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const fields = { refresh_token: refresh };
      const answer = await call(endpoints.logout, fields, timeout, { keepalive: true }).catch(() => null);
      if (answer?.ok) return true;
      if (attempt < ATTEMPTS) await sleep(250 * 2 ** attempt);
    }
    return false;
  }

  /** How long to wait before the next attempt, in milliseconds; `null`: no further one now. */
  function pause(answer: Response | TypeError, attempt: number): number | null {
    const own = 250 * 2 ** attempt * (0.75 + Math.random() / 2);
    if (answer instanceof TypeError) {
      const offline = globalThis.navigator?.onLine === false;
      return attempt < ATTEMPTS && !offline ? own : null;
    }
    if (!isTemporary(answer)) return null;
    const wait = (retryAfter(answer) ?? 0) * 1000 || own;
    notBefore = { time: performance.now() + wait, answer: answer.clone() };
    return attempt < ATTEMPTS && wait <= PATIENCE ? wait : null;
  }

  // What the page calls.

  async function send(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    // All as it is now: whoever calls may change it while we wait. A stream can be sent only once.
    const first = new Request(input, init);
    const of = current()?.login;
    if (new URL(first.url).origin !== base.origin || first.headers.has("Authorization") || of === undefined) {
      return globalThis.fetch(first);
    }
    const copy = init?.body instanceof ReadableStream ? null : first.clone();
    const { method, url, signal } = first;
    const id = ++requests;
    const sendWith = async (request: Request, token: string): Promise<Response> => {
      request.headers.set("Authorization", `Bearer ${token}`);
      const answer = await globalThis.fetch(request);
      emit({ type: "answer", id, status: answer.status });
      return answer;
    };

    // Whatever happens meanwhile, it is sent with tokens of the login it began with, and of no other.
    const token = access ? { is: "fresh" as const, access } : await unless(signal, renewed(of, null));
    if (token.is === "later") return refused(token.answer);
    if (token.is === "none") return globalThis.fetch(first);
    emit({ type: "request", id, method, url });
    const answer = await sendWith(first, token.access.token);
    const isOver = answer.status === 401 && isExpired(answer, base.origin !== globalThis.location?.origin);
    if (!isOver || !copy) return answer;

    const next = await unless(signal, renewed(of, token.access.token));
    if (next.is === "none") return answer;
    void answer.body?.cancel();
    if (next.is === "later") return refused(next.answer);
    emit({ type: "retry", id, method, url });
    return sendWith(copy, next.access.token);
  }

  async function asked(path: string, init?: RequestInit): Promise<Response> {
    const answer = await send(prefix + path, init);
    if (!answer.ok) throw await problem(answer);
    return answer;
  }

  const client: Client = {
    get signedIn() {
      return current() !== null;
    },
    fetch: send,
    async login(username, password) {
      const answer = await call(endpoints.login, { grant_type: "password", username, password }, 6 * timeout);
      if (!answer.ok) throw await problem(answer);
      const pair = await pairIn(answer);
      const replaced = read();
      keep(pair, { login: random(), key: random() }, null, "login");
      emit({ type: "signed-in", here: true });
      if (replaced) void quit(replaced);
    },
    async logout() {
      const stored = current();
      if (stored) end("logout");
      return !stored || quit(stored);
    },
    async logoutEverywhere() {
      const of = current()?.login;
      await asked(endpoints.logoutAll, { method: "POST" });
      if (current()?.login === of) end("logout");
    },
    async changePassword(password, next) {
      const of = current()?.login;
      const body = JSON.stringify({ password, new_password: next });
      const headers = { "Content-Type": "application/json" };
      const pair = await pairIn(await asked(endpoints.password, { method: "POST", headers, body }));
      const stored = current();
      if (stored && stored.login === of) keep(pair, { login: of, key: random() }, stored.key, "login");
    },
    async sessions() {
      const answer = await asked(endpoints.sessions);
      return ((await answer.json()) as { sessions: Session[] }).sessions;
    },
    async endSession(id) {
      await asked(`${endpoints.sessions}/${encodeURIComponent(id)}`, { method: "DELETE" });
    },
  };

  open();
  // A page in the back/forward cache must not have a channel that others write to: it would be thrown out of it.
  globalThis.addEventListener?.("pagehide", () => {
    channel?.close();
    channel = null;
  });
  globalThis.addEventListener?.("pageshow", () => {
    open();
    // Who has turned the pair meanwhile told nobody here, and may be gone.
    if (access?.key !== current()?.key) access = null;
  });
  // What a message is about may get here later than the message. Why a login is over is known from messages only: a
  // client takes out its own entry, and whoever empties the whole storage tells nothing.
  globalThis.addEventListener?.("storage", ({ key, newValue }) => {
    if (key === null || (key === place && newValue !== null)) current();
  });
  login = read()?.login ?? null;
  return client;
}

/** For pages that keep nothing: the session ends with the page, and is not shared with other tabs. */
export function memoryStorage(): TokenStorage {
  const items = new Map<string, string>();
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
    removeItem: (name) => void items.delete(name),
  };
}

/** A storage of the browser, unless it forbids it. */
function allowed(storage: () => Storage): Storage | null {
  try {
    return storage();
  } catch {
    return null;
  }
}

/** 128 random bits; also where `crypto.randomUUID` is missing (no HTTPS). */
function random(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The key of the next pair, the same for all that turn this one. */
function following(key: string): string {
  const [root, turn = "0"] = key.split(".");
  return `${root}.${Number(turn) + 1}`;
}

function sleep(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
}

/** Whether a 401 is about the token we sent. On another origin the challenge may be hidden from us. */
function isExpired(answer: Response, isElsewhere: boolean): boolean {
  const challenge = answer.headers.get("WWW-Authenticate");
  return challenge === null ? isElsewhere : /\berror="?invalid_token\b/.test(challenge);
}

/** Whether the same is worth trying again. */
function isTemporary(answer: Response | TypeError): boolean {
  return answer instanceof TypeError || answer.status === 429 || answer.status >= 500;
}

/** Some networks answer everything with a page of their own, and with 200. */
async function pairIn(answer: Response): Promise<Pair> {
  const pair = (await answer.json().catch(() => null)) as Partial<Pair> | null;
  if (typeof pair?.access_token !== "string" || typeof pair.refresh_token !== "string") {
    throw new TypeError("the answer holds no tokens");
  }
  return { access_token: pair.access_token, refresh_token: pair.refresh_token, expires_in: Number(pair.expires_in) };
}

/** In seconds. */
function retryAfter(answer: Response): number | null {
  const field = answer.headers.get("Retry-After");
  return field !== null && /^\d+$/.test(field) ? Number(field) : null;
}

/** The answer that stands for one that could not be had now. */
function refused(answer: Response | TypeError): Response {
  if (answer instanceof TypeError) throw answer;
  return answer.clone();
}

/** The error in an answer: RFC 6749 §5.2 or RFC 9457. */
async function problem(answer: Response): Promise<SidegateError> {
  const body = (await answer.clone().json().catch(() => ({}))) as Record<string, unknown>;
  const text = (...names: string[]): string | undefined =>
    names.map((field) => body[field]).find((value): value is string => typeof value === "string");
  const code = text("error") ?? (answer.status === 401 ? "invalid_token" : "error");
  const message = text("error_description", "detail") ?? `the answer was ${answer.status}`;
  return new SidegateError(answer.status, code, message, retryAfter(answer));
}

/** The work's outcome, or the signal's reason as soon as it is aborted. The work goes on for others. */
function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
