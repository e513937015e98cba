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
export type ClientEvent = {
    type: "signed-in";
    here: boolean;
} | {
    type: "request" | "retry";
    id: number;
    method: string;
    url: string;
} | {
    type: "answer";
    id: number;
    status: number;
} | {
    type: "refresh";
    attempt: number;
}
/** A new access token; `expiresIn` is in seconds, from the moment the server made it. */
 | {
    type: "tokens";
    from: "login" | "refresh" | "another tab";
    expiresIn: number;
}
/** The refresh could not be done now and is tried again after `wait` milliseconds, or given up for now (`null`). */
 | {
    type: "unavailable";
    status: number | null;
    wait: number | null;
} | {
    type: "signed-out";
    why: SignedOut;
};
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
export declare class SidegateError extends Error {
    readonly status: number;
    /** As in RFC 6749 §5.2: `invalid_grant`, `temporarily_unavailable`, … */
    readonly code: string;
    /** Seconds after which it is worth trying again, if the server said so. */
    readonly retryAfter: number | null;
    constructor(status: number, 
    /** As in RFC 6749 §5.2: `invalid_grant`, `temporarily_unavailable`, … */
    code: string, message: string, 
    /** Seconds after which it is worth trying again, if the server said so. */
    retryAfter: number | null);
}
declare const USUAL: {
    login: string;
    refresh: string;
    logout: string;
    logoutAll: string;
    password: string;
    sessions: string;
};
export declare function createClient(options: Options): Client;
/** For pages that keep nothing: the session ends with the page, and is not shared with other tabs. */
export declare function memoryStorage(): TokenStorage;
export {};
