// The identity provider of the demo and of the end-to-end tests: npm's certified oidc-provider with pages of our own
// and a control endpoint for tests. Everything is kept in memory and is gone when the process ends.
//
//     node provider.mjs CONFIGURATION.json
//
// The configuration: {"port": 4000, "adminToken": "...", "accessTokenSeconds": 3600, "clients": [...]}. A client is
// written as in RFC 7591 (client_id, client_secret, jwks, redirect_uris, token_endpoint_auth_method, client_name, scope,
// require_pushed_authorization_requests),
// and may have an access_token_seconds of its own. With takes_used_refresh_tokens it meets a lenient provider: each refresh
// brings a new refresh token, and the old ones go on to work.

import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

import Provider, { errors } from 'oidc-provider';

import { findAccount } from './accounts.mjs';
import { Control } from './control.mjs';
import { INTERACTION_PATH, interactionPages } from './interactions.mjs';
import { renderError, SCOPES } from './pages.mjs';
import { Storage } from './storage.mjs';
import { TokenEndpoint } from './token_endpoint.mjs';

const HOST = '127.0.0.1';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// nginx's default. Node's own 5 s equals what HTTP clients keep a connection for, and the two race.
const KEEP_ALIVE_MILLIS = 75_000;

function configurationOf({ accessTokenSeconds = HOUR }, storage, signingKey) {
  return {
    adapter: storage.adapter,
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
    },
    clientDefaults: {
      grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'RS256',
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    // As most providers do: the id_token says who signed in, without a request to the userinfo endpoint.
    conformIdTokenClaims: false,
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    extraClientMetadata: { properties: ['access_token_seconds', 'takes_used_refresh_tokens'], validator: checkOurs },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      // A client registered with require_pushed_authorization_requests must use it, the others may.
      pushedAuthorizationRequests: { enabled: true },
      // Any https URI is an API that reads; a token is for the one that was asked for, also after a refresh.
      resourceIndicators: { enabled: true, defaultResource: () => undefined, getResourceServerInfo, useGrantedResource: () => true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: false },
    },
    findAccount,
    interactions: { url: (_ctx, interaction) => `${INTERACTION_PATH}${interaction.uid}` },
    jwks: { keys: [signingKey] },
    pkce: { required: () => true }, // S256 is the only method that oidc-provider 9 knows
    renderError,
    responseTypes: ['code'],
    // With it comes reuse detection: a refresh token that is used twice revokes its whole grant.
    rotateRefreshToken: true,
    scopes: Object.keys(SCOPES),
    ttl: {
      AccessToken: (_ctx, _token, client) => client.access_token_seconds ?? accessTokenSeconds,
      AuthorizationCode: MINUTE,
      Grant: 14 * DAY,
      IdToken: HOUR,
      Interaction: HOUR,
      RefreshToken: 14 * DAY,
      Session: 14 * DAY,
    },
  };
}

function getResourceServerInfo(_ctx, resource) {
  if (!resource.startsWith('https://')) throw new errors.InvalidTarget();
  return { scope: Object.keys(SCOPES).join(' '), audience: resource, accessTokenFormat: 'opaque' };
}

function checkOurs(_ctx, name, value) {
  if (value === undefined) return;
  if (name === 'access_token_seconds' && !(Number.isInteger(value) && value > 0)) {
    throw new errors.InvalidClientMetadata(`${name} must be a positive integer`);
  }
  if (name === 'takes_used_refresh_tokens' && typeof value !== 'boolean') {
    throw new errors.InvalidClientMetadata(`${name} must be true or false`);
  }
}

function newSigningKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'example-id-1' };
}

/** A JWT of claims, as oidc-provider would sign it. */
function signed(claims, signingKey) {
  const part = (members) => Buffer.from(JSON.stringify(members)).toString('base64url');
  const content = `${part({ alg: 'RS256', typ: 'JWT', kid: signingKey.kid })}.${part(claims)}`;
  const key = createPrivateKey({ key: signingKey, format: 'jwk' });
  return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`;
}

/**
 * Ask for consent whenever offline_access is requested, as if the client had sent prompt=consent.
 *
 * OpenID Connect Core 1.0, section 11, lets a provider ignore offline_access without that prompt, and oidc-provider
 * does. Most providers ask the person instead, and so do we: no client has to know about the prompt.
 */
async function consentToOfflineAccess(ctx, next) {
  if (ctx.path === '/auth') {
    const prompt = impliedPrompt((parameter) => ctx.query[parameter]);
    if (prompt) ctx.query = { ...ctx.query, prompt };
  } else if (ctx.path === '/request' && ctx.method === 'POST') {
    const parameters = new URLSearchParams(await text(ctx.req));
    const prompt = impliedPrompt((parameter) => parameters.get(parameter));
    if (prompt) parameters.set('prompt', prompt);
    // oidc-provider reads this property where the body was read before it.
    ctx.req.body = parameters.toString();
  }
  await next();
}

function impliedPrompt(valueOf) {
  const words = (parameter) => String(valueOf(parameter) ?? '').split(' ').filter(Boolean);
  const prompts = words('prompt');
  const isImplied = words('scope').includes('offline_access') && !prompts.includes('consent') && !prompts.includes('none');
  return isImplied ? [...prompts, 'consent'].join(' ') : undefined;
}

/** One line for each request of a client or a browser. Queries stay out: they hold codes and states. */
async function logRequest(ctx, next) {
  await next();
  const answer = ctx.respond === false ? 'not answered' : ctx.status;
  console.log(`${new Date().toISOString()} ${ctx.method} ${ctx.path} ${answer}`);
}

async function health(ctx, next) {
  if (ctx.path !== '/healthz') return next();
  ctx.body = 'ok\n';
  return undefined;
}

async function main(configurationFile) {
  const settings = JSON.parse(readFileSync(configurationFile, 'utf8'));
  console.log(`starting with Node ${process.version}: making a signing key`);
  const storage = new Storage();
  const signingKey = newSigningKey();
  const provider = new Provider(`http://${HOST}:${settings.port}`, configurationOf(settings, storage, signingKey));
  console.log('made a signing key');
  const tokenEndpoint = new TokenEndpoint(provider, { signIdToken: (claims) => signed(claims, signingKey) });
  const revocationEndpoint = new TokenEndpoint(provider, { path: '/token/revocation' });
  const control = new Control({ provider, storage, tokenEndpoint, revocationEndpoint, adminToken: settings.adminToken });

  provider.on('server_error', (_ctx, error) => console.error(error));
  provider.use(health);
  provider.use(control.routes);
  provider.use(logRequest);
  provider.use(consentToOfflineAccess);
  provider.use(interactionPages(provider));
  provider.use(tokenEndpoint.watch);
  provider.use(revocationEndpoint.watch);

  for (const client of settings.clients ?? []) await control.registerClient(client);
  const server = provider.listen(settings.port, HOST, () => console.log(`listening on ${provider.issuer}`));
  server.keepAliveTimeout = KEEP_ALIVE_MILLIS;
}

await main(process.argv[2]);
