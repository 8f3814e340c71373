// Orders and what happens to them: the newest ones first, then every change. Nothing but fetch: runs in browsers and in Node.
const ORDER = 'id version number status total { amount currency } note';
const COPY = `{ changesSince(types: ["Order"]) { cursor }
  orders(first: 20, orderBy: [{field: ORDERED_AT, direction: DESC}]) { nodes { ${ORDER} } } }`;
const FOLLOW = `subscription { events(kinds: ["order.*"]) { kind occurredAt subject { ... on Order { ${ORDER} } } } }`;
const COPY_AGAIN = ['CURSOR_EXPIRED', 'CURSOR_OF_ANOTHER_HISTORY', 'CURSOR_INVALID'];

function data({ data, errors }) {
  if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions?.code });
  return data;
}

async function* messages(response) { // the fields of server-sent events
  let rest = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const whole = (rest + piece).split('\n\n');
    rest = whole.pop();
    for (const text of whole) yield Object.fromEntries(text.split('\n').map((line) => line.split(/: (.*)/s)));
  }
}

// Yields { orders, event }, by id and what changed them; for ever. Throws when `token()`, asked at each connection, is not good.
export async function* follow(url, token) {
  const orders = new Map();
  const keep = (order) => order && order.version >= (orders.get(order.id)?.version ?? 0) && orders.set(order.id, order);
  const ask = (query, headers) => fetch(url, { method: 'POST', body: JSON.stringify({ query }),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token()}`, ...headers } });
  for (let cursor = null, pause = 500; ; pause = Math.min(2 * pause, 30_000)) {
    try {
      if (!cursor) { // cursor and page are of one moment: what comes after it is told
        const { changesSince, orders: page } = data(await (await ask(COPY)).json());
        orders.clear();
        page.nodes.forEach(keep);
        cursor = changesSince.cursor;
        yield { orders, event: null };
      }
      const response = await ask(FOLLOW, { accept: 'text/event-stream', 'last-event-id': cursor });
      if (!response.ok) data(await response.json());
      for await (const { event: name, id, data: text } of messages(response)) {
        const event = name === 'next' ? data(JSON.parse(text)).events : null;
        if (event) keep(event.subject);
        if (id) [cursor, pause] = [id, 500]; // heartbeats have one too
        if (event) yield { orders, event };
      }
    } catch (error) { // else the connection broke: it goes on from the cursor
      if (['UNAUTHENTICATED', 'FORBIDDEN'].includes(error.code)) throw error;
      if (COPY_AGAIN.includes(error.code)) cursor = null;
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
  }
}
