// Sign-in and consent: what happens between the authorization request and the way back to the client.

import { text } from 'node:stream/consumers';

import { errors } from 'oidc-provider';

import { passwordIsRight } from './accounts.mjs';
import { consentPage, errorPage, showPage, signInPage } from './pages.mjs';

export const INTERACTION_PATH = '/interaction/';

/** Koa middleware: GET shows the page of the step that is due, POST takes its form. */
export function interactionPages(provider) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith(INTERACTION_PATH)) {
      await next();
      return;
    }
    try {
      const step = await stepOf(provider, ctx);
      if (ctx.method === 'POST') await step.take(new URLSearchParams(await text(ctx.req)));
      else await step.show();
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error;
      showPage(ctx, errorPage('This page has expired', 'Go back to where you came from and start again.'), 400);
    }
  };
}

async function stepOf(provider, ctx) {
  const interaction = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = async (result, options) => {
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, options));
    ctx.status = 303;
  };
  return interaction.prompt.name === 'login'
    ? signIn(ctx, finish)
    : consent(provider, ctx, interaction, finish);
}

function signIn(ctx, finish) {
  return {
    show: () => showPage(ctx, signInPage()),
    take: async (form) => {
      const login = form.get('login') ?? '';
      if (passwordIsRight(login, form.get('password'))) await finish({ login: { accountId: login } });
      else showPage(ctx, signInPage({ login, isWrong: true }), 403);
    },
  };
}

async function consent(provider, ctx, interaction, finish) {
  const { params, session } = interaction;
  const client = await provider.Client.find(params.client_id);
  return {
    show: () => showPage(ctx, consentPage({ client, login: session.accountId, params })),
    take: async (form) => {
      // Only the button `Allow` allows: a form without a decision is a refusal.
      if (form.get('decision') === 'allow') await finish({ consent: { grantId: await grant(provider, interaction) } });
      else await finish(DENIED, { mergeWithLastSubmission: false });
    },
  };
}

const DENIED = { error: 'access_denied', error_description: 'The user denied the request.' };

/** Save what was consented to; returns the id of the grant. A session has one grant for each client, and it grows. */
async function grant(provider, { grantId, params, session }) {
  const existing = grantId && await provider.Grant.find(grantId);
  const granted = existing || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  granted.addOIDCScope(params.scope);
  for (const resource of [params.resource ?? []].flat()) granted.addResourceScope(resource, params.scope);
  return granted.save();
}
