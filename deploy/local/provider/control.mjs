// What tests do to the provider from outside: /control/..., with the admin token as a bearer token.

import { json } from 'node:stream/consumers';

import { errors } from 'oidc-provider';

export class Control {
  #provider;

  #storage;

  #tokenEndpoint;

  #revocationEndpoint;

  #adminToken;

  constructor({ provider, storage, tokenEndpoint, revocationEndpoint, adminToken }) {
    if (!adminToken) throw new TypeError('the configuration has no adminToken');
    this.#provider = provider;
    this.#storage = storage;
    this.#tokenEndpoint = tokenEndpoint;
    this.#revocationEndpoint = revocationEndpoint;
    this.#adminToken = adminToken;
  }

  #actions = {
    'GET /control/token-requests': () => this.#tokenEndpoint.requests,
    'DELETE /control/token-requests': () => this.#tokenEndpoint.forgetRequests(),
    'GET /control/revocation-requests': () => this.#revocationEndpoint.requests,
    'GET /control/secrets': () => this.#tokenEndpoint.secrets,
    'POST /control/clients': (client) => this.registerClient(client),
    'POST /control/faults': (faults) => this.#stage(faults),
    'DELETE /control/faults': () => this.#forgetFaults(),
    'DELETE /control/held-replies': () => this.#tokenEndpoint.letGo(),
    'POST /control/revoke-grants': ({ client_id: clientId }) => this.#storage.revokeGrantsOf(clientId),
  };

  /** `token` is a fault of the token endpoint, `revocation` one of the revocation endpoint. */
  #stage({ token, revocation }) {
    if (token) this.#tokenEndpoint.stage(token);
    if (revocation) this.#revocationEndpoint.stage(revocation);
  }

  #forgetFaults() {
    this.#tokenEndpoint.forgetFaults();
    this.#revocationEndpoint.forgetFaults();
  }

  /** Koa middleware. */
  routes = async (ctx, next) => {
    if (!ctx.path.startsWith('/control/')) {
      await next();
      return;
    }
    if (ctx.get('authorization') !== `Bearer ${this.#adminToken}`) {
      answer(ctx, 401, { error: 'the admin token is missing or wrong' });
      return;
    }
    const action = this.#actions[`${ctx.method} ${ctx.path}`];
    if (!action) {
      answer(ctx, 404, { error: `no ${ctx.method} ${ctx.path}` });
      return;
    }
    await perform(ctx, action);
  };

  /**
   * Register or replace a client (RFC 7591 names).
   *
   * Throws InvalidClientMetadata where the provider could not use it.
   */
  async registerClient(metadata) {
    await this.#provider.Client.validate(metadata);
    this.#storage.saveClient(metadata);
  }
}

async function perform(ctx, action) {
  try {
    const body = ctx.method === 'POST' ? await json(ctx.req) : undefined;
    answer(ctx, 200, (await action(body)) ?? {});
  } catch (error) {
    const isTheCallers = error instanceof errors.OIDCProviderError || error instanceof TypeError || error instanceof SyntaxError;
    if (!isTheCallers) throw error;
    answer(ctx, 400, { error: error.error_description ?? error.message });
  }
}

function answer(ctx, status, body) {
  ctx.status = status;
  ctx.body = body;
}
