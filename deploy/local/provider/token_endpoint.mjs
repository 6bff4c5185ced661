// The token endpoint, or the revocation endpoint, as tests see it: who asked for what, and faults on demand.
// oidc-provider gives every answer that is not a fault.

import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const FAULT_MEMBERS = {
  claims: 'object',
  client_id: 'string',
  dropAfter: 'boolean',
  dropBefore: 'boolean',
  error: 'string',
  hang: 'boolean',
  holdMillis: 'number',
  holdReplyMillis: 'number',
  retryAfter: 'number',
  status: 'number',
  times: 'number',
};
const FAULT_OUTCOMES = ['dropAfter', 'dropBefore', 'hang', 'status'];

export class TokenEndpoint {
  #requests = [];

  #faults = [];

  #secrets = {
    codes: new Set(),
    code_verifiers: new Set(),
    access_tokens: new Set(),
    refresh_tokens: new Set(),
    id_tokens: new Set(),
  };

  /** Ends the wait of each reply that is held back. */
  #held = new Set();

  #path;

  #signIdToken;

  /** `signIdToken(payload)` makes an id_token of claims. */
  constructor(provider, { path = '/token', signIdToken } = {}) {
    this.#path = path;
    this.#signIdToken = signIdToken;
    provider.on('authorization_code.saved', (code) => this.#secrets.codes.add(code.jti));
    provider.on('access_token.saved', (token) => this.#secrets.access_tokens.add(token.jti));
    provider.on('refresh_token.saved', (token) => this.#secrets.refresh_tokens.add(token.jti));
  }

  /** Every request so far, in the order of arrival. No secrets, but hashes of them. `status` is null while unanswered. */
  get requests() {
    return this.#requests;
  }

  /** Every secret that was issued or received, as it was. */
  get secrets() {
    return Object.fromEntries(Object.entries(this.#secrets).map(([kind, values]) => [kind, [...values]]));
  }

  forgetRequests() {
    this.#requests = [];
  }

  forgetFaults() {
    this.#faults = [];
  }

  /** Send every reply that is held back now. */
  letGo() {
    for (const release of [...this.#held]) release();
  }

  /**
   * Answer the next `times` requests (of `client_id`, if given) with this fault, after those that are staged already.
   *
   * A fault waits `holdMillis`, and then one of these happens: `hang`: nothing, ever; `dropBefore`: the connection is cut;
   * `status`: this status, with `error` and, in seconds, `retryAfter`; otherwise the provider acts, waits `holdReplyMillis` (or until `letGo`), and answers, unless
   * `dropAfter` cuts the connection instead; `claims` are put into the id_token that it issues. Throws TypeError for anything else.
   */
  stage(fault) {
    checkFault(fault);
    this.#faults.push({ ...fault, times: fault.times ?? 1 });
  }

  /** Koa middleware. */
  watch = async (ctx, next) => {
    if (ctx.method !== 'POST' || ctx.path !== this.#path) {
      await next();
      return;
    }
    // oidc-provider reads this property where the body was read before it.
    ctx.req.body = await text(ctx.req);
    const parameters = new URLSearchParams(ctx.req.body);
    const request = describe(parameters, clientOf(ctx, parameters));
    this.#requests.push(request);
    this.#keepSecretsOf(parameters);
    await this.#answer(ctx, next, request, this.#nextFaultFor(request.client_id));
  };

  async #answer(ctx, next, request, fault) {
    request.fault = fault ?? null;
    await sleep(fault?.holdMillis ?? 0);
    if (fault?.hang) {
      await neverAnswer(ctx);
      return;
    }
    if (fault?.dropBefore) {
      cutConnection(ctx);
      return;
    }
    if (fault?.status) {
      refuse(ctx, fault);
    } else {
      await next();
      if (fault?.claims) await this.#replaceClaims(ctx, fault.claims);
      if (ctx.body?.id_token) this.#secrets.id_tokens.add(ctx.body.id_token);
    }
    Object.assign(request, { status: ctx.status, error: ctx.body?.error ?? null });
    if (fault?.holdReplyMillis) await this.#hold(fault.holdReplyMillis);
    if (fault?.dropAfter) cutConnection(ctx);
  }

  /** Sign the id_token of a reply anew, with other claims; null takes one out. */
  async #replaceClaims(ctx, claims) {
    if (!ctx.body?.id_token) return;
    const payload = JSON.parse(Buffer.from(ctx.body.id_token.split('.')[1], 'base64url').toString());
    const changed = Object.entries({ ...payload, ...claims }).filter(([, value]) => value !== null);
    ctx.body = { ...ctx.body, id_token: await this.#signIdToken(Object.fromEntries(changed)) };
  }

  #hold(millis) {
    return new Promise((resolve) => {
      const release = () => {
        clearTimeout(timer);
        this.#held.delete(release);
        resolve();
      };
      const timer = setTimeout(release, millis);
      this.#held.add(release);
    });
  }

  #nextFaultFor(clientId) {
    const fault = this.#faults.find(({ client_id: only, times }) => times > 0 && (!only || only === clientId));
    if (!fault) return undefined;
    fault.times -= 1;
    const { times: _, ...effect } = fault;
    return effect;
  }

  #keepSecretsOf(parameters) {
    const kinds = { code: 'codes', code_verifier: 'code_verifiers', refresh_token: 'refresh_tokens' };
    for (const [parameter, kind] of Object.entries(kinds)) {
      if (parameters.has(parameter)) this.#secrets[kind].add(parameters.get(parameter));
    }
  }
}

function checkFault(fault = {}) {
  const wrong = Object.entries(fault).filter(([name, value]) => FAULT_MEMBERS[name] !== typeof value);
  if (wrong.length) throw new TypeError(`not part of a fault: ${JSON.stringify(Object.fromEntries(wrong))}`);
  const outcomes = FAULT_OUTCOMES.filter((name) => fault[name]);
  const holds = fault.holdMillis || fault.holdReplyMillis;
  if (outcomes.length > 1) throw new TypeError(`a fault is one of ${outcomes.join(', ')}`);
  if (!outcomes.length && !holds && !fault.claims) throw new TypeError('the fault does nothing');
}

function describe(parameters, clientId) {
  const sha256 = (parameter) => parameters.has(parameter)
    ? createHash('sha256').update(parameters.get(parameter)).digest('hex')
    : null;
  return {
    at: new Date().toISOString(),
    grant_type: parameters.get('grant_type'),
    client_id: clientId,
    code_sha256: sha256('code'),
    code_verifier_sha256: sha256('code_verifier'),
    refresh_token_sha256: sha256('refresh_token'),
    token_sha256: sha256('token'),
    token_type_hint: parameters.get('token_type_hint'),
    resource: parameters.getAll('resource'),
    has_client_assertion: parameters.has('client_assertion'),
    status: null,
    error: null,
  };
}

/** The client as it names itself: in HTTP Basic (form-encoded, RFC 6749 section 2.3.1) or in the body. */
function clientOf(ctx, parameters) {
  const [scheme, credentials] = ctx.get('authorization').split(' ');
  if (scheme.toLowerCase() !== 'basic' || !credentials) return parameters.get('client_id');
  const [clientId] = Buffer.from(credentials, 'base64').toString().split(':');
  return new URLSearchParams(`client_id=${clientId}`).get('client_id');
}

function refuse(ctx, { status, error = 'temporarily_unavailable', retryAfter }) {
  ctx.status = status;
  ctx.body = { error, error_description: 'A fault that a test staged.' };
  if (retryAfter !== undefined) ctx.set('Retry-After', String(retryAfter));
}

function cutConnection(ctx) {
  ctx.respond = false;
  ctx.req.socket.destroy();
}

async function neverAnswer(ctx) {
  ctx.respond = false;
  await new Promise((gone) => { ctx.res.once('close', gone); });
}
