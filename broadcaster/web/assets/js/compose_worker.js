// Keeps the compose screen openable without a connection. What the server says always comes first;
// only when it cannot be reached is a kept page shown, and then the page is marked with when it was
// kept, so that it says so. Nothing but drafts' own pages and the files they need is kept here.

const PAGES = "compose-pages";
const FILES = "compose-files";
const PATIENCE_MS = 10_000;
const MOST_PAGES = 8;
const KEPT_AT = "X-Kept-At";
const UNREACHED = new Set([502, 503, 504]);

const isDraft = (path) => /^\/console\/alerts\/[^/]+\/edit$/.test(path);
const isFile = (path) => path.startsWith("/assets/");
const isMap = (path) => path === "/console/units.geojson";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (isDraft(pathname)) event.respondWith(page(event));
  } else if (isFile(pathname)) {
    event.respondWith(file(request));
  } else if (isMap(pathname)) {
    event.respondWith(freshFirst(request));
  }
});

self.addEventListener("message", (event) => {
  const { page: path, assets } = event.data;
  const all = Promise.allSettled([path && fetchPage(path), ...assets.map((one) => file(new Request(one)))]);
  event.waitUntil(all.then(tidy).then(() => event.ports[0].postMessage("kept")));
});

async function page(event) {
  const { request } = event;
  const path = new URL(request.url).pathname;
  try {
    const answer = await inTime(fetch(request));
    if (UNREACHED.has(answer.status)) return (await kept(path)) ?? answer;
    if (answer.ok && answer.type === "basic") event.waitUntil(keep(path, answer.clone()));
    return answer;
  } catch {
    return (await kept(path)) ?? Response.error();
  }
}

function inTime(answer) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("no answer in time")), PATIENCE_MS);
  });
  return Promise.race([answer, late]);
}

async function fetchPage(path) {
  const answer = await fetch(path, { headers: { Accept: "text/html" } });
  if (answer.ok && !answer.redirected) await keep(path, answer);
}

async function keep(path, answer) {
  const headers = new Headers(answer.headers);
  headers.set(KEPT_AT, new Date().toISOString());
  // The text is unpacked by now.
  for (const name of ["Content-Encoding", "Content-Length"]) headers.delete(name);
  const store = await caches.open(PAGES);
  await store.delete(path);
  await store.put(path, new Response(await answer.blob(), { headers }));
}

// The kept page, marked with when it was kept; undefined when there is none.
async function kept(path) {
  const found = await (await caches.open(PAGES)).match(path);
  if (!found) return undefined;
  const html = await found.text();
  const mark = `<html data-kept-at="${found.headers.get(KEPT_AT)}" `;
  return new Response(html.replace("<html ", mark), { headers: found.headers });
}

// Files are named by their content, so that a kept one is never an old one.
async function file(request) {
  const store = await caches.open(FILES);
  const found = await store.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok) await store.put(request, answer.clone());
  return answer;
}

async function freshFirst(request) {
  const store = await caches.open(FILES);
  try {
    const answer = await fetch(request);
    if (answer.ok) await store.put(request, answer.clone());
    return answer;
  } catch (error) {
    const found = await store.match(request);
    if (found) return found;
    throw error;
  }
}

// The newest pages and the files of the newest release; the others can be fetched again.
async function tidy() {
  const pages = await caches.open(PAGES);
  const addresses = await pages.keys();
  for (const old of addresses.slice(0, Math.max(0, addresses.length - MOST_PAGES))) await pages.delete(old);
  const files = await caches.open(FILES);
  const known = await files.keys();
  const release = (one) => new URL(one.url).pathname.match(/^\/assets\/([^/]+)\//)?.[1];
  const newest = known.map(release).filter(Boolean).at(-1);
  const stale = known.filter((one) => release(one) && release(one) !== newest);
  if (!stale.length) return;
  for (const one of stale) await files.delete(one);
  // Pages of an earlier release would open without their looks: rather none than half.
  for (const one of await pages.keys()) {
    const text = await (await pages.match(one)).text();
    if (!text.includes(`/assets/${newest}/`)) await pages.delete(one);
  }
}
