// node spa.mjs MODULE URL TOKEN: prints what `follow` yields, a line of JSON each.
const [module, url, token] = process.argv.slice(2);
const { follow } = await import(module);
try {
  for await (const { orders, event } of follow(url, () => token)) {
    console.log(JSON.stringify({ event: event?.kind ?? null, orders: [...orders.values()] }));
  }
} catch (error) {
  console.log(JSON.stringify({ error: error.code }));
}
