/** The API of this server: requests, addresses, and problems as sentences. */

const ROOT = new URL('../../', import.meta.url).pathname;
const API = `${ROOT}api/v1`;

/** What the service, or the way to it, answered instead of what was asked for. */
export class Problem extends Error {
  /**
   * @param {number} status 0 where there was no answer
   * @param {string} detail
   * @param {{where: string, why: string}[]} [errors] fields of the request that are wrong
   */
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/** @type {() => Promise<boolean>} asks for a token; true once there is a session */
let signIn = async () => false;

/**
 * Say who asks the person for a token when the API wants one.
 * @param {() => Promise<boolean>} ask
 */
export function onUnauthorized(ask) {
  signIn = ask;
}

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

/**
 * Address of something of the API; every part is escaped.
 * @param {string[]} parts
 * @param {Query} [query] entries without a value are left out
 * @returns {string}
 */
export function address(parts, query = {}) {
  const words = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== false && value !== '');
  const search = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
  return [API, ...parts.map(encodeURIComponent)].join('/') + (search && `?${search}`);
}

/**
 * Ask; what is no success is thrown.
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function ask(url, options = {}) {
  const response = await send(url, options);
  if (response.status === 401 && (await signIn())) return checked(await send(url, options));
  return checked(response);
}

/**
 * @param {string} url
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 */
async function send(url, options) {
  try {
    return await fetch(url, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, 'The service does not answer. Is it running, and is this machine online?');
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Response>}
 */
export async function checked(response) {
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const detail = typeof told.detail === 'string' && told.detail ? told.detail : response.statusText;
  throw new Problem(response.status, sentence(detail || `status ${response.status}`), told.errors ?? []);
}

/**
 * @param {string} detail as the service words it, without capital or full stop
 * @returns {string}
 */
export function sentence(detail) {
  const first = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/**
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function getJson(url, signal) {
  return (await ask(url, { signal, headers: { Accept: 'application/json' } })).json();
}

/**
 * Send JSON and read JSON, if there is any.
 * @param {string} method
 * @param {string} url
 * @param {any} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 */
export async function sendJson(method, url, body, headers = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  if (text !== undefined) headers = { 'Content-Type': 'application/json', ...headers };
  const response = await ask(url, { method, body: text, headers });
  return response.status === 204 ? null : response.json();
}

/**
 * Whether an error only says that nobody waits any more.
 * @param {unknown} error
 * @returns {boolean}
 */
export function isGone(error) {
  return error instanceof DOMException && error.name === 'AbortError';
}
