/** Who is asking: the session of this browser, and the dialog that begins one with a token. */

import { Problem, address, checked, getJson, onUnauthorized } from './api.js';
import { fill, h, say } from './dom.js';
import { icon } from './icons.js';

/** @typedef {{name: string, scopes: string[]}} Caller */

/** @type {Caller | null} */
let caller = null;
/** @type {Promise<boolean> | null} one dialog, however many requests wait for it */
let asking = null;
/** @type {() => void} */
let changed = () => {};

/**
 * Whether the caller may do something, as far as this page knows.
 * @param {string} scope
 * @returns {boolean}
 */
export function may(scope) {
  return caller?.scopes.includes(scope) ?? false;
}

/** @returns {Promise<void>} once it is known who asks */
export async function beginSession() {
  onUnauthorized(askForToken);
  caller = await getJson(address(['me']));
  changed();
}

/**
 * Put the caller's name into the bar, and keep it there.
 * @param {HTMLElement} place
 */
export function showCaller(place) {
  changed = () => fill(place, caller && accountButton(caller));
  changed();
}

/**
 * @param {Caller} known
 * @returns {HTMLElement}
 */
function accountButton(known) {
  const label = `Signed in as ${known.name}`;
  return h(
    'button',
    { class: 'button bare', type: 'button', title: label, 'aria-label': label, on: { click: () => showAccount(known) } },
    icon('user'),
    h('span', { class: 'who' }, known.name),
  );
}

/** @param {Caller} known */
function showAccount(known) {
  const close = () => dialog.close();
  const local = known.name === 'local';
  const text = local
    ? 'This service has no tokens yet, so everybody on this machine may do everything.'
    : 'The session of this browser ends when you sign out, or when the token ends.';
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'account-head', on: { close: () => dialog.remove() } },
    h('h2', { id: 'account-head' }, known.name),
    h('p', { class: 'soft' }, text),
    h('p', {}, 'Allowed: ', known.scopes.join(', ') || 'nothing'),
    h('div', { class: 'row' },
      !local && h('button', { class: 'button', type: 'button', on: { click: signOut } }, 'Sign out'),
      h('button', { class: 'button', type: 'button', on: { click: close } }, 'Close')),
  );
  document.body.append(dialog);
  dialog.showModal();
}

async function signOut() {
  await fetch(address(['session']), { method: 'DELETE' });
  location.reload();
}

/** @returns {Promise<boolean>} whether there is a session now */
function askForToken() {
  asking ??= new Promise(openDialog).finally(() => { asking = null; });
  return asking;
}

/** @param {(signedIn: boolean) => void} done */
function openDialog(done) {
  const wrong = h('p', { class: 'wrong', id: 'token-wrong', role: 'alert' });
  const input = h('input', {
    id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-wrong',
  });
  let signedIn = false;
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    wrong.textContent = '';
    try {
      await signInWith(input.value.trim());
      signedIn = true;
      dialog.close();
    } catch (error) {
      wrong.textContent = error instanceof Problem ? error.message : 'That did not work.';
      input.select();
    }
  };
  const dialog = h(
    'dialog',
    { id: 'sign-in', 'aria-labelledby': 'sign-in-head', on: { close: () => { dialog.remove(); done(signedIn); } } },
    h('h2', { id: 'sign-in-head' }, 'Sign in'),
    h('p', { class: 'soft' }, 'This service asks for a token. Whoever runs it makes one with ', h('code', {}, 'microtome token create'), '.'),
    h('form', { on: { submit } },
      h('div', { class: 'field' }, h('label', { for: 'token' }, 'Token'), input, wrong),
      h('div', { class: 'row' }, h('button', { class: 'button main', type: 'submit' }, 'Sign in'))),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {string} token */
async function signInWith(token) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(address(['session']), { method: 'POST', headers, body: JSON.stringify({ token }) });
  caller = await (await checked(response)).json();
  changed();
  say('You are signed in.');
}
