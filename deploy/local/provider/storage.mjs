// What oidc-provider stores, in memory. Its own in-memory adapter forgets the oldest of 1,000 entries, which would look
// like a revoked grant to a client with many Datasources; and it cannot tell which grants a client has.

import { errors } from 'oidc-provider';

const OF_A_GRANT = new Set(['AccessToken', 'AuthorizationCode', 'Grant', 'RefreshToken']);

export class Storage {
  #models = new Map(); // model -> id -> payload

  /** The adapter of one model, as oidc-provider's configuration `adapter` wants it. */
  adapter = (model) => {
    const entries = this.#entriesOf(model);
    return {
      upsert: async (id, payload) => void entries.set(id, payload),
      find: async (id) => entries.get(id),
      findByUid: async (uid) => [...entries.values()].find((payload) => payload.uid === uid),
      consume: async (id) => this.#consume(model, entries, id),
      destroy: async (id) => void entries.delete(id),
      revokeByGrantId: async (grantId) => forget(entries, (payload) => payload.grantId === grantId),
    };
  };

  /** Keep a client; one of the same client_id is replaced. */
  saveClient(metadata) {
    this.#entriesOf('Client').set(metadata.client_id, metadata);
  }

  /** Forget every grant of a client, with the codes and tokens of those grants. */
  revokeGrantsOf(clientId) {
    for (const model of OF_A_GRANT) forget(this.#entriesOf(model), (payload) => payload.clientId === clientId);
  }

  /**
   * Mark a code or refresh token as used up.
   *
   * oidc-provider looks whether it is used up, and marks it some steps later: of two requests at the same time both
   * would pass. Here the second one loses, and the grant with it. To a client that meets a lenient provider a refresh token
   * is never used up.
   */
  #consume(model, entries, id) {
    const payload = entries.get(id);
    if (payload && model === 'RefreshToken' && this.#isLenientTo(payload.clientId)) return;
    if (payload && !payload.consumed) {
      payload.consumed = Math.floor(Date.now() / 1000);
      return;
    }
    this.#revoke(payload?.grantId);
    throw new errors.InvalidGrant('used already');
  }

  #isLenientTo(clientId) {
    return this.#entriesOf('Client').get(clientId)?.takes_used_refresh_tokens === true;
  }

  #revoke(grantId) {
    for (const model of OF_A_GRANT) forget(this.#entriesOf(model), (payload) => payload.grantId === grantId);
    this.#entriesOf('Grant').delete(grantId);
  }

  #entriesOf(model) {
    if (!this.#models.has(model)) this.#models.set(model, new Map());
    return this.#models.get(model);
  }
}

function forget(entries, isMeant) {
  for (const [id, payload] of entries) {
    if (isMeant(payload)) entries.delete(id);
  }
}
