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
/** An answer of sidegate that is no success. */
export class SidegateError extends Error {
    status;
    code;
    retryAfter;
    constructor(status, 
    /** As in RFC 6749 §5.2: `invalid_grant`, `temporarily_unavailable`, … */
    code, message, 
    /** Seconds after which it is worth trying again, if the server said so. */
    retryAfter) {
        super(message);
        this.status = status;
        this.code = code;
        this.retryAfter = retryAfter;
        this.name = "SidegateError";
    }
}
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
export function createClient(options) {
    const base = new URL(options.base, globalThis.location?.href);
    const prefix = base.href.replace(/[?#].*$/, "").replace(/\/+$/, "");
    const endpoints = { ...USUAL, ...options.endpoints };
    const name = `sidegate ${prefix}`;
    const storage = options.storage ?? persistent();
    const timeout = options.timeout ?? 10_000;
    const emit = (event) => options.onEvent?.(event);
    let access = null;
    let expiresIn = 0;
    /** The login this page takes part in; `null`: nobody is signed in. */
    let login = null;
    let renewing = null;
    let notBefore = { time: 0, answer: null };
    let channel = null;
    let waiting = [];
    let requests = 0;
    /** What could not be stored; then it is good for this page only. */
    let unstored = null;
    // What is kept.
    function read() {
        if (unstored)
            return unstored;
        try {
            const stored = JSON.parse(storage.getItem(name) ?? "null");
            return stored && stored.login && stored.refresh && stored.key ? stored : null;
        }
        catch {
            return null;
        }
    }
    /** What is stored now, after this page has followed what other tabs have done to it. */
    function current() {
        const stored = read();
        if (!stored) {
            ended("logout");
        }
        else if (stored.login !== login) {
            login = stored.login;
            access = null;
            emit({ type: "signed-in", here: false });
        }
        return stored;
    }
    function keep(pair, of, from) {
        const before = read()?.key ?? null;
        const stored = { login: of, refresh: pair.refresh_token, key: random() };
        unstored = null;
        try {
            storage.setItem(name, JSON.stringify(stored));
        }
        catch {
            unstored = stored;
        }
        login = of;
        access = { login: of, key: stored.key, token: pair.access_token };
        expiresIn = pair.expires_in;
        tell({ type: "tokens", access, before, expiresIn });
        emit({ type: "tokens", from, expiresIn });
        return access;
    }
    /** Forgets the session, and says so if there was one. */
    function ended(why) {
        const was = login;
        login = null;
        access = null;
        if (was === null)
            return;
        if (read()?.login === was)
            storage.removeItem(name);
        unstored = null;
        tell({ type: "signed-out", login: was, why });
        emit({ type: "signed-out", why });
        options.onSignedOut?.(why);
    }
    // Other tabs.
    function tell(message) {
        channel?.postMessage(message);
    }
    function heard(message) {
        if (message.type === "tokens") {
            const key = current()?.key;
            const isOurs = key === message.access.key || (key !== undefined && key === message.before);
            if (!isOurs || access?.token === message.access.token)
                return;
            access = message.access;
            expiresIn = message.expiresIn;
            emit({ type: "tokens", from: "another tab", expiresIn });
            for (const resolve of waiting.splice(0))
                resolve(access);
        }
        else if (message.type === "who has") {
            if (access?.key === message.key)
                tell({ type: "tokens", access, before: null, expiresIn });
        }
        else if (message.type === "signed-out") {
            if (message.login === login)
                ended(message.why);
        }
        else {
            current();
        }
    }
    /** Asks the other tabs for the access token that came with this key. */
    function ask(key, patience) {
        if (!channel)
            return Promise.resolve(null);
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve(null), patience);
            waiting.push((told) => {
                clearTimeout(timer);
                resolve(told);
            });
            tell({ type: "who has", key });
        });
    }
    /** A page in the back/forward cache must not have a channel that others write to: it would be thrown out of it. */
    function open() {
        if (channel || typeof BroadcastChannel === "undefined")
            return;
        channel = new BroadcastChannel(name);
        channel.onmessage = (event) => heard(event.data);
    }
    function close() {
        channel?.close();
        channel = null;
    }
    // Asking the server.
    function call(path, fields, more = {}) {
        // A redirect is never followed: it would carry a password or a refresh token to wherever it points.
        return globalThis.fetch(prefix + path, {
            method: "POST",
            body: JSON.stringify(fields),
            cache: "no-store",
            redirect: "error",
            ...more,
            headers: { "Content-Type": "application/json", ...more.headers },
        });
    }
    /** An access token other than `stale`. One renewal at a time, for all requests of this page and all its tabs. */
    async function renewed(stale) {
        const stored = current();
        if (!stored)
            return { is: "none" };
        if (access && access.token !== stale)
            return { is: "fresh", access };
        renewing ??= alone(() => renew(stale)).finally(() => {
            renewing = null;
        });
        return renewing;
    }
    /** One tab at a time. Where there are no locks (no HTTPS), the shared key makes two refreshes one. */
    function alone(work) {
        return globalThis.navigator?.locks ? navigator.locks.request(name, work) : work();
    }
    async function renew(stale) {
        let questioned = null;
        for (let attempt = 1;; attempt++) {
            const stored = current();
            if (!stored)
                return { is: "none" };
            if (access && access.token !== stale)
                return { is: "fresh", access };
            if (access?.key !== stored.key && questioned !== stored.key) {
                questioned = stored.key;
                const told = await ask(stored.key, access ? NEIGHBOUR.surely : NEIGHBOUR.perhaps);
                if (told && told.token !== stale)
                    return { is: "fresh", access: told };
            }
            const early = notBefore.time - Date.now();
            if (early > PATIENCE && notBefore.answer)
                return { is: "later", answer: notBefore.answer.clone() };
            if (early > 0)
                await sleep(early);
            emit({ type: "refresh", attempt });
            const answer = await turned(stored);
            // Another tab may have logged in or out meanwhile, or refreshed where there are no locks: then this is too late.
            const isStill = read()?.key === stored.key;
            if (isStill && "access_token" in answer) {
                return { is: "fresh", access: keep(answer, stored.login, "refresh") };
            }
            if (isStill && (await isRefused(answer))) {
                if (await isTurnedElsewhere(answer, stored))
                    continue;
                ended("ended");
                return { is: "none" };
            }
            if ("access_token" in answer || !isStill)
                continue;
            const wait = pause(answer, attempt);
            emit({ type: "unavailable", status: answer instanceof Response ? answer.status : null, wait });
            if (wait !== null) {
                await sleep(wait);
            }
            else {
                return isTemporary(answer) ? { is: "later", answer } : { is: "none" };
            }
        }
    }
    /** One refresh: the new pair, another answer, or why none came. */
    async function turned(stored) {
        const patience = new AbortController();
        const timer = setTimeout(() => patience.abort(), timeout);
        try {
            const fields = { grant_type: "refresh_token", refresh_token: stored.refresh };
            const headers = { "Idempotency-Key": stored.key };
            const answer = await call(endpoints.refresh, fields, { headers, signal: patience.signal });
            return answer.ok ? await pairIn(answer) : new Response(await answer.arrayBuffer(), answer);
        }
        catch (error) {
            // Without an answer, or with half of one: it is not known whether the server has turned the pair.
            return error instanceof TypeError ? error : new TypeError("the refresh was not answered");
        }
        finally {
            clearTimeout(timer);
        }
    }
    /** Without locks two tabs may be in each other's way, and what the winner stored may reach this one a little later. */
    async function isTurnedElsewhere(answer, stored) {
        if (!(answer instanceof Response && /already rotated/.test((await problem(answer)).message)))
            return false;
        for (let look = 0; look < 4 && read()?.key === stored.key; look++)
            await sleep(NEIGHBOUR.surely / 4);
        return read()?.key !== stored.key;
    }
    /** How long to wait before the next attempt, in milliseconds; `null`: no further one now. */
    function pause(answer, attempt) {
        const own = 250 * 2 ** attempt * (0.75 + Math.random() / 2);
        if (answer instanceof TypeError) {
            const offline = globalThis.navigator?.onLine === false;
            return attempt < ATTEMPTS && !offline ? own : null;
        }
        if (!isTemporary(answer))
            return null;
        const wait = (retryAfter(answer) ?? 0) * 1000 || own;
        notBefore = { time: Date.now() + wait, answer: answer.clone() };
        return attempt < ATTEMPTS && wait <= PATIENCE ? wait : null;
    }
    // What the page calls.
    async function send(input, init) {
        // The body of a Request is used up by sending it; a stream in `init` can be sent only once.
        const first = new Request(input instanceof Request ? input.clone() : input, init);
        if (new URL(first.url).origin !== base.origin || first.headers.has("Authorization") || !current()) {
            return globalThis.fetch(first);
        }
        const { method, url, signal } = first;
        const id = ++requests;
        const sendWith = async (request, token) => {
            request.headers.set("Authorization", `Bearer ${token}`);
            const answer = await globalThis.fetch(request);
            emit({ type: "answer", id, status: answer.status });
            return answer;
        };
        const token = access ? { is: "fresh", access } : await unless(signal, renewed(null));
        if (token.is === "later")
            return refused(token.answer);
        if (token.is === "none")
            return globalThis.fetch(first);
        emit({ type: "request", id, method, url });
        const answer = await sendWith(first, token.access.token);
        const isOver = answer.status === 401 && isExpired(answer, base.origin !== globalThis.location?.origin);
        if (!isOver || init?.body instanceof ReadableStream)
            return answer;
        const next = await unless(signal, renewed(token.access.token));
        if (next.is === "none")
            return answer;
        void answer.body?.cancel();
        if (next.is === "later")
            return refused(next.answer);
        emit({ type: "retry", id, method, url });
        return sendWith(new Request(input, init), next.access.token);
    }
    async function asked(path, init) {
        const answer = await send(prefix + path, init);
        if (!answer.ok)
            throw await problem(answer);
        return answer;
    }
    const client = {
        get signedIn() {
            return current() !== null;
        },
        fetch: send,
        async login(username, password) {
            const answer = await call(endpoints.login, { grant_type: "password", username, password });
            if (!answer.ok)
                throw await problem(answer);
            const mine = random();
            keep(await pairIn(answer), mine, "login");
            tell({ type: "signed-in", login: mine });
            emit({ type: "signed-in", here: true });
        },
        async logout() {
            const stored = current();
            if (!stored)
                return true;
            ended("logout");
            // Any token of the session will do, so that a refresh under way need not be waited for.
            for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
                const fields = { refresh_token: stored.refresh };
                const answer = await call(endpoints.logout, fields, { keepalive: true }).catch(() => null);
                if (answer?.ok)
                    return true;
                if (attempt < ATTEMPTS)
                    await sleep(250 * 2 ** attempt);
            }
            return false;
        },
        async logoutEverywhere() {
            await asked(endpoints.logoutAll, { method: "POST" });
            ended("logout");
        },
        async changePassword(password, next) {
            const body = JSON.stringify({ password, new_password: next });
            const answer = await asked(endpoints.password, {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body,
            });
            keep(await pairIn(answer), login ?? random(), "login");
        },
        async sessions() {
            const answer = await asked(endpoints.sessions);
            return (await answer.json()).sessions;
        },
        async endSession(id) {
            await asked(`${endpoints.sessions}/${encodeURIComponent(id)}`, { method: "DELETE" });
        },
    };
    open();
    globalThis.addEventListener?.("pagehide", close);
    globalThis.addEventListener?.("pageshow", () => {
        open();
        current();
    });
    login = read()?.login ?? null;
    return client;
}
/** For pages that keep nothing: the session ends with the page, and is not shared with other tabs. */
export function memoryStorage() {
    const items = new Map();
    return {
        getItem: (name) => items.get(name) ?? null,
        setItem: (name, value) => void items.set(name, value),
        removeItem: (name) => void items.delete(name),
    };
}
/** What survives a reload, unless the browser forbids it. */
function persistent() {
    try {
        return localStorage;
    }
    catch {
        return memoryStorage();
    }
}
/** 128 random bits; also where `crypto.randomUUID` is missing (no HTTPS). */
function random() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
function sleep(time) {
    return new Promise((resolve) => setTimeout(resolve, time));
}
/** Whether a 401 is about the token we sent. On another origin the challenge may be hidden from us. */
function isExpired(answer, isElsewhere) {
    const challenge = answer.headers.get("WWW-Authenticate");
    return challenge === null ? isElsewhere : /\berror="?invalid_token\b/.test(challenge);
}
/** Whether the same is worth trying again. */
function isTemporary(answer) {
    return answer instanceof TypeError || answer.status === 429 || answer.status >= 500;
}
/** Whether the server says that there is no such session. Nothing else may sign anybody out. */
async function isRefused(answer) {
    return answer instanceof Response && answer.status === 400 && (await problem(answer)).code === "invalid_grant";
}
/** Some networks answer everything with a page of their own, and with 200. */
async function pairIn(answer) {
    const pair = (await answer.json());
    if (typeof pair?.access_token !== "string" || typeof pair.refresh_token !== "string") {
        throw new TypeError("the answer holds no tokens");
    }
    return { access_token: pair.access_token, refresh_token: pair.refresh_token, expires_in: Number(pair.expires_in) };
}
/** In seconds. */
function retryAfter(answer) {
    const field = answer.headers.get("Retry-After");
    return field !== null && /^\d+$/.test(field) ? Number(field) : null;
}
/** The answer that stands for one that could not be had now. */
function refused(answer) {
    if (answer instanceof TypeError)
        throw answer;
    return answer.clone();
}
/** The error in an answer: RFC 6749 §5.2 or RFC 9457. */
async function problem(answer) {
    const body = (await answer
        .clone()
        .json()
        .catch(() => ({})));
    const text = (...names) => names.map((field) => body[field]).find((value) => typeof value === "string");
    const code = text("error") ?? (answer.status === 401 ? "invalid_token" : "error");
    const message = text("error_description", "detail") ?? `the answer was ${answer.status}`;
    return new SidegateError(answer.status, code, message, retryAfter(answer));
}
/** The work's outcome, or the signal's reason as soon as it is aborted. The work goes on for others. */
function unless(signal, work) {
    return new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        if (signal.aborted)
            abort();
        signal.addEventListener("abort", abort, { once: true });
        work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
}
