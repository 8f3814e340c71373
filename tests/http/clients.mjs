// Real client libraries against one server: each sends a query and a subscription, and prints what it got.
// node clients.mjs URL TOKEN, in a folder with their node_modules.
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const [url, token] = process.argv.slice(2);
const socketUrl = url.replace('http', 'ws');
const authorization = `Bearer ${token}`;
const WORDS = 'subscription Numbers { __typename }';
const variables = { send: 3 };

const { createClient: createSocket } = require('graphql-ws');
const { createClient: createEvents } = require('graphql-sse');
const urql = require('@urql/core');
const apollo = require('@apollo/client');
const { GraphQLWsLink } = require('@apollo/client/link/subscriptions');
const relay = require('relay-runtime');

const socket = () => createSocket({ url: socketUrl, connectionParams: { authorization }, retryAttempts: 0 });
const numbers = (results) => results.map(({ data }) => data.number);

async function collected(iterator) {
  const results = [];
  for await (const result of iterator) results.push(result);
  return results;
}

function observed(observable) {
  return new Promise((resolve, reject) => {
    const results = [];
    observable.subscribe({ next: (each) => results.push(each), error: reject, complete: () => resolve(results) });
  });
}

async function graphqlWs() {
  const client = socket();
  const [me] = await collected(client.iterate({ query: '{ me { name } }' }));
  const wrong = await collected(client.iterate({ query: '{ nothing }' })).catch((errors) => errors[0].extensions.code);
  const results = await collected(client.iterate({ query: WORDS, variables }));
  await client.dispose();
  return [me.data.me.name, wrong, ...numbers(results)];
}

async function graphqlSse() {
  const client = createEvents({ url, headers: { authorization }, retryAttempts: 0 });
  const [me] = await collected(client.iterate({ query: '{ me { name } }' }));
  const [wrong] = await collected(client.iterate({ query: '{ nothing }' }));
  const results = await collected(client.iterate({ query: WORDS, variables }));
  return [me.data.me.name, wrong.errors[0].extensions.code, ...numbers(results)];
}

async function graphqlSseRenewed() {
  let id;
  const fetchFn = async (...given) => {
    const response = await fetch(...given);
    id = response.headers.get('crmgql-stream') ?? id;
    return response;
  };
  const client = createEvents({ url, headers: { authorization }, fetchFn, retryAttempts: 0 });
  const results = client.iterate({ query: WORDS, variables: { send: 1, then: 'wait' } });
  const { value } = await results.next();
  const answer = await fetch(`${url}/streams/${id}/token`, { method: 'POST', headers: { authorization } });
  await results.return();
  return [value.data.number, answer.status, Object.keys(await answer.json())[0]];
}

function urqlSubscription(client) {
  return new Promise((resolve) => {
    const results = [];
    const document = urql.gql`subscription Numbers { __typename }`;
    client.subscription(document, variables).subscribe((result) => {
      results.push(result);
      if (result.error || results.length === 3) resolve(results);
    });
  });
}

async function urqlOver(exchanges, options) {
  const client = new urql.Client({ url, exchanges, fetchOptions: { headers: { authorization } }, preferGetMethod: false, ...options });
  const me = await client.query('{ me { name } }', {}).toPromise();
  return [me.data.me.name, ...numbers(await urqlSubscription(client))];
}

async function urqlSocket() {
  const client = socket();
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: client.subscribe({ ...request, query: request.query || '' }, sink) }),
  });
  const answer = await urqlOver([urql.fetchExchange, urql.subscriptionExchange({ forwardSubscription })]);
  await client.dispose();
  return answer;
}

const urqlEvents = () => urqlOver([urql.fetchExchange], { fetchSubscriptions: true });

async function apolloClient() {
  const client = socket();
  const link = new GraphQLWsLink(client);
  const made = new apollo.ApolloClient({ link, cache: new apollo.InMemoryCache() });
  const me = await made.query({ query: apollo.gql`{ me { name } }` });
  const plain = await observed(apollo.execute(link, { query: apollo.gql`subscription Numbers { __typename }`, variables }, { client: made }));
  await client.dispose();
  return [me.data.me.name, ...numbers(plain)];
}

async function relayNetwork() {
  const client = socket();
  const subscribe = (operation, given) =>
    relay.Observable.create((sink) => client.subscribe({ operationName: operation.name, query: operation.text, variables: given }, sink));
  const network = relay.Network.create(subscribe, subscribe);
  const run = (text, kind, given) => observed(network.execute({ name: kind, text, operationKind: kind, id: null }, given, {}));
  const [me] = await run('query query { me { name } }', 'query', {});
  const results = await run('subscription subscription { __typename }', 'subscription', variables);
  await client.dispose();
  return [me.data.me.name, ...numbers(results)];
}

const clients = { graphqlWs, graphqlSse, graphqlSseRenewed, urqlSocket, urqlEvents, apolloClient, relayNetwork };
const found = {};
for (const [name, run] of Object.entries(clients)) {
  found[name] = await run().catch((error) => `${error?.stack ?? JSON.stringify(error)}`);
}
console.log(JSON.stringify(found));
process.exit(0);
