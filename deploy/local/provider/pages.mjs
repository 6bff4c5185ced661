// The pages of Example ID: plain HTML, no script, nothing loaded from anywhere.

import { createHash } from 'node:crypto';

/** What a person reads for each scope; these are all the scopes there are. */
export const SCOPES = {
  openid: 'Know who you are',
  profile: 'See your name',
  email: 'See your e-mail address',
  read: 'Read your data at Example',
  offline_access: 'Keep this access while you are away, until you revoke it',
};

const STYLE = `
:root { color-scheme: light dark; --ink: #2b1a10; --paper: #fff8f0; --sheet: #ffffff; --line: #8a6a52; --brand: #8f3b00;
  --on-brand: #ffffff; --alarm: #a4001d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f6e9dd; --paper: #1d130c; --sheet: #2b1e15; --line: #a58a75; --brand: #ffb37a; --on-brand: #2b1200;
    --alarm: #ff9aa8; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--paper); color: var(--ink); font: 1.0625rem/1.5 Georgia, serif; }
header { padding: 0.875rem 1.25rem; background: var(--brand); color: var(--on-brand); font-size: 1.25rem; font-weight: bold; }
main { max-width: 26rem; margin: 2rem auto; padding: 1.5rem 1.25rem; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 1rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 0.75rem; font-size: 1.5rem; line-height: 1.2; }
label { display: block; margin: 1rem 0 0.25rem; font-weight: bold; }
input, button { width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; border-radius: 0.5rem; font: inherit; }
input { border: 1px solid var(--line); background: var(--paper); color: var(--ink); }
button { margin-top: 1rem; border: 2px solid var(--brand); background: var(--sheet); color: var(--brand); font-weight: bold;
  cursor: pointer; }
button.main { background: var(--brand); color: var(--on-brand); }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.alarm { color: var(--alarm); font-weight: bold; }
code { font-family: ui-monospace, monospace; }
@media (max-width: 30rem) { main { margin: 0; border: 0; border-radius: 0; } }
`;

// No form-action: Chromium applies it to the redirect that follows a form, and that one leads to the client.
const SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function showPage(ctx, html, status = 200) {
  ctx.status = status;
  ctx.type = 'html';
  ctx.set('Content-Security-Policy', SECURITY_POLICY);
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Referrer-Policy', 'no-referrer');
  ctx.body = html;
}

export function signInPage({ login = '', isWrong = false } = {}) {
  const alarm = '<p class="alarm" id="alarm" role="alert">User name or password is wrong.</p>';
  const described = isWrong ? 'aria-invalid="true" aria-describedby="alarm"' : '';
  return page('Sign in', `
    <p>Use your Example ID account.</p>
    ${isWrong ? alarm : ''}
    <form method="post">
      <label for="login">User name</label>
      <input id="login" name="login" value="${escape(login)}" autocomplete="username" autocapitalize="none" required ${described}>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required ${described}>
      <button class="main">Sign in</button>
    </form>`);
}

export function consentPage({ client, login, params }) {
  const scopes = params.scope.split(' ').filter((scope) => scope in SCOPES);
  const items = scopes.map((scope) => `<li>${escape(SCOPES[scope])} (<code>${escape(scope)}</code>)</li>`);
  return page('Allow access?', `
    <p>You are signed in as <strong>${escape(login)}</strong>.
    <strong>${escape(client.clientName ?? client.clientId)}</strong> asks for your permission to:</p>
    <ul>${items.join('')}</ul>
    <p>Afterwards you are sent to <code>${escape(new URL(params.redirect_uri).origin)}</code>.</p>
    <form method="post">
      <button class="main" name="decision" value="allow">Allow</button>
      <button name="decision" value="deny">Deny</button>
    </form>`);
}

export function errorPage(title, text) {
  return page(title, `<p>${escape(text)}</p>`);
}

/** oidc-provider's `renderError`: for errors that must not be sent to the client. */
export function renderError(ctx, { error, error_description: description }) {
  showPage(ctx, errorPage('This did not work', `${description ?? 'The request failed'} (${error}).`), ctx.status);
}

function page(title, content) {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escape(title)} - Example ID</title>
  <link rel="icon" href="data:,">
  <style>${STYLE}</style>
</head>
<body>
  <header>Example ID</header>
  <main>
    <h1>${escape(title)}</h1>
    ${content}
  </main>
</body>
</html>
`;
}

function escape(text) {
  const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return String(text).replace(/[&<>"']/g, (character) => entities[character]);
}
