// Who can sign in. The passwords are no secret: this provider listens on the loopback interface of a demo.

const PEOPLE = {
  demo: { password: 'demo', name: 'Demo Person' },
  ada: { password: 'ada', name: 'Ada Lovelace' },
};

function personOf(login) {
  return Object.hasOwn(PEOPLE, login) ? PEOPLE[login] : undefined;
}

export function passwordIsRight(login, password) {
  return personOf(login)?.password === password;
}

/** An account as oidc-provider wants it; it picks the claims that the granted scopes stand for. */
export function findAccount(_ctx, login) {
  const person = personOf(login);
  if (!person) return undefined;
  const claims = {
    sub: login,
    email: `${login}@example.com`,
    email_verified: true,
    name: person.name,
    preferred_username: login,
  };
  return { accountId: login, claims: () => claims };
}
