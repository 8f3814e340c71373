// Checks what “crmgql export books DIR” wrote, without crmgql and without its database:
//
//     node verify.mjs DIR [NUMBER:HASH …]
//
// Each entry's digest, each chain from its first link to its last, the audit trail's too, each anchor, and that what an anchor saw is still there.
// Anchors that somebody kept elsewhere can be given: they must be among those of the export. DIR/README.txt explains the files.
// Exit code: 0 when all is whole, 1 when it is not, 2 when the files can't be read.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const MOST = 20;
const broken = [];
const tell = (what) => broken.push(what);
const sha256 = () => createHash("sha256");

async function* lines(directory, name) {
  const input = createReadStream(join(directory, name), "utf8");
  yield* createInterface({ input, crlfDelay: Infinity });
}

// An anchor's heads follow its line. Returns the hash of each anchor, and of each chain's link that an anchor saw.
async function anchors(directory) {
  const hashes = new Map();
  for await (const line of lines(directory, "hashes.txt")) {
    const [number, hash] = line.split("\t");
    hashes.set(number, hash);
  }
  const seen = new Map();
  let number = "0", before = "\\N", left = 0, digest = null;
  const end = () => {
    if (digest === null) return;
    if (left !== 0) tell(`anchor ${number}: ${left} of its chains are missing`);
    const hash = digest.digest("hex");
    if (hash !== hashes.get(number)) tell(`anchor ${number}: its hash is not that of its line and its chains`);
    before = hashes.get(number) ?? hash;
  };
  for await (const line of lines(directory, "anchors.txt")) {
    if (left > 0) {
      const [owner, lane, seq, hash] = line.split("\t");
      seen.set(`${owner}\t${lane}\t${seq}`, { hash, number });
      digest.update(line + "\n");
      left -= 1;
      continue;
    }
    end();
    const [shape, next, previous, , heads] = line.split("\t");
    if (shape !== "1" || Number(next) !== Number(number) + 1) {
      tell(`anchor ${next}: it does not come after anchor ${number}`);
    } else if (previous !== before) {
      tell(`anchor ${next}: it does not follow the one before it`);
    }
    [number, left, digest] = [next, Number(heads), sha256().update(line + "\n")];
  }
  end();
  if (hashes.size !== Number(number)) tell(`hashes.txt has ${hashes.size} anchors, and the last one is ${number}`);
  return { hashes, seen };
}

// Entries and links are in the same order: one of each at a time.
async function chains(directory, seen) {
  const texts = lines(directory, "entries.txt")[Symbol.asyncIterator]();
  let entries = 0, count = 0, lane = null, last = 0, hash = Buffer.alloc(0);
  for await (const line of lines(directory, "links.txt")) {
    const [owner, number, seq, entry, digest, linked] = line.split("\t");
    const place = `owner ${owner} lane ${number} seq ${seq} entry ${entry}`;
    if (`${owner}\t${number}` !== lane) {
      [lane, last, hash] = [`${owner}\t${number}`, 0, Buffer.alloc(0)];
      count += 1;
    }
    if (Number(seq) !== last + 1) tell(`${place}: links of the chain before this one are missing`);
    const text = await texts.next();
    if (text.done) {
      tell(`${place}: the entry is missing`);
      return { entries, count };
    }
    const values = text.value.split("\t");
    if (values[0] !== "1" || values[1] !== entry || values[3] !== owner) {
      tell(`${place}: entries.txt has another line here; what comes after it is not read`);
      return { entries, count };
    }
    const hashed = sha256().update(text.value + "\n");
    for (let n = Number(values.at(-2)) + Number(values.at(-1)); n > 0; n -= 1) {
      hashed.update((await texts.next()).value + "\n");
    }
    if (hashed.digest("hex") !== digest) tell(`${place}: the entry, a posting or an item of it is not what was hashed`);
    hash = sha256().update(hash).update(Buffer.from(digest, "hex")).digest();
    if (hash.toString("hex") !== linked) tell(`${place}: the hash does not follow from the one before it`);
    [last, hash] = [Number(seq), Buffer.from(linked, "hex")];
    const key = `${owner}\t${number}\t${seq}`;
    const anchored = seen.get(key);
    if (anchored && anchored.hash !== linked) tell(`${place}: anchor ${anchored.number} saw another hash here`);
    seen.delete(key);
    entries += 1;
  }
  if (!(await texts.next()).done) tell("entries.txt has entries that are in no chain");
  return { entries, count };
}

// The audit trail's links: their rows are not exported, so their digests are taken as they are.
async function trails(directory, seen) {
  let lane = null, last = 0, hash = Buffer.alloc(0);
  for await (const line of lines(directory, "audit_links.txt")) {
    const [owner, number, seq, digest, linked] = line.split("\t");
    const place = `owner ${owner} lane ${number} seq ${seq}`;
    if (`${owner}\t${number}` !== lane) [lane, last, hash] = [`${owner}\t${number}`, 0, Buffer.alloc(0)];
    if (Number(seq) !== last + 1) tell(`${place}: links of the audit trail before this one are missing`);
    hash = sha256().update(hash).update(Buffer.from(digest, "hex")).digest();
    if (hash.toString("hex") !== linked) tell(`${place}: the hash does not follow from the one before it`);
    [last, hash] = [Number(seq), Buffer.from(linked, "hex")];
    const anchored = seen.get(`${lane}\t${seq}`);
    if (anchored && anchored.hash !== linked) tell(`${place}: anchor ${anchored.number} saw another hash here`);
    seen.delete(`${lane}\t${seq}`);
  }
}

const [directory, ...kept] = process.argv.slice(2);
if (directory === undefined) {
  console.error("usage: node verify.mjs DIR [NUMBER:HASH …]");
  process.exit(2);
}
try {
  const { hashes, seen } = await anchors(directory);
  for (const each of kept) {
    const [number, hash] = each.split(":");
    if (hashes.get(number) !== hash) tell(`anchor ${number}: the one that was kept has another hash`);
  }
  const { entries, count } = await chains(directory, seen);
  await trails(directory, seen);
  for (const [key, { number }] of seen) {
    const [owner, of, seq] = key.split("\t");
    tell(`owner ${owner} lane ${of} seq ${seq}: anchor ${number} saw a link here that is missing`);
  }
  for (const what of broken.slice(0, MOST)) console.log(what);
  const counts = `${entries} entries, ${count} chains, ${hashes.size} anchors`;
  console.log(broken.length ? `broken in ${broken.length} places: ${counts}` : `whole: ${counts}`);
  process.exitCode = broken.length ? 1 : 0;
} catch (error) {
  console.error(`the files can't be read: ${error.message}`);
  process.exitCode = 2;
}
