// What this machine keeps of a draft: the newest words, sent or not, and the page itself, so that
// both are there again after a reload without a connection.

const LARGE = "compose-drafts";
const WORKER = "/console/compose-worker.js";
const SCOPE = "/console/alerts/";

export class Kept {
  constructor(address, official) {
    this.key = `draft:${address}`;
    this.official = official;
    // A draft larger than the browser keeps in its quick store goes where pages are kept.
    this.large = false;
  }

  // What is kept of this draft in this official's name, or null.
  async read() {
    const text = localStorage.getItem(this.key) ?? (await this.#readLarge());
    const record = text && parsed(text);
    return record?.official === this.official ? record : null;
  }

  write(record) {
    const text = JSON.stringify({ ...record, official: this.official });
    try {
      localStorage.setItem(this.key, text);
    } catch {
      localStorage.removeItem(this.key);
      this.large = true;
      globalThis.caches?.open(LARGE).then((store) => store.put(this.#place, new Response(text)));
    }
  }

  drop() {
    localStorage.removeItem(this.key);
    if (this.large) globalThis.caches?.open(LARGE).then((store) => store.delete(this.#place));
  }

  get #place() {
    return `/console/kept/${encodeURIComponent(this.key)}`;
  }

  async #readLarge() {
    if (!globalThis.caches) return null;
    const found = await (await caches.open(LARGE)).match(this.#place);
    this.large = Boolean(found);
    return found ? found.text() : null;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// When the page was kept that is shown now, while there is no connection; null when it is fresh.
export const openedFrom = () => document.documentElement.dataset.keptAt ?? null;

// Lets this page be opened without a connection: asked for once it works, so that keeping it takes
// nothing from showing it.
export async function keepPage() {
  if (!navigator.serviceWorker) return;
  const known = navigator.serviceWorker.controller;
  await navigator.serviceWorker.register(WORKER, { scope: SCOPE });
  const { active } = await navigator.serviceWorker.ready;
  const assets = performance
    .getEntriesByType("resource")
    .map((one) => new URL(one.name))
    .filter((one) => one.origin === location.origin && /^\/(assets\/|console\/units\.geojson)/.test(one.pathname))
    .map((one) => one.pathname + one.search);
  const said = new MessageChannel();
  const done = new Promise((resolve) => {
    said.port1.onmessage = resolve;
  });
  active.postMessage({ page: known ? null : location.pathname, assets }, [said.port2]);
  await done;
  document.documentElement.dataset.kept = "";
}
