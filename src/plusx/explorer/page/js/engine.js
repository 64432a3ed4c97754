/**
 * Who answers questions about networks: the local server, or Python in a web worker of the static site.
 *
 * @typedef {import("./types.js").View} View
 * @typedef {import("./types.js").Wrong} Wrong
 * @typedef {import("./types.js").Query} Query
 * @typedef {{view: (query: Query) => Promise<View | Wrong>, svg: (query: Query & {theme: string}) => Promise<string>}} Engine
 */

/**
 * @param {import("./types.js").About} about
 * @param {(loading: boolean) => void} loading is told when Python is being loaded, and when it is there
 * @returns {Engine}
 */
export function createEngine(about, loading) {
  return about.static ? inWorker(about, loading) : onServer();
}

/** @returns {Engine} */
function onServer() {
  return {
    view: async (query) => (await fetched(`api/view?${parameters(query)}`)).json(),
    svg: async (query) => (await fetched(`api/svg?${parameters(query)}`)).text(),
  };
}

/**
 * @param {string} address
 * @returns {Promise<Response>}
 */
async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

/**
 * @param {Record<string, string | undefined>} query
 * @returns {URLSearchParams}
 */
function parameters(query) {
  return new URLSearchParams(/** @type {Record<string, string>} */ (given(query)));
}

/**
 * The query without what is empty.
 *
 * @param {Record<string, string | undefined>} query
 * @returns {Record<string, string>}
 */
function given(query) {
  return Object.fromEntries(/** @type {[string, string][]} */ (Object.entries(query).filter(([, value]) => value)));
}

/**
 * @param {import("./types.js").About} about
 * @param {(loading: boolean) => void} loading
 * @returns {Engine}
 */
function inWorker(about, loading) {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  const waiting = new Map();
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  let number = 0;
  let ready = false;
  worker.onmessage = ({ data }) => {
    if (!ready) loading(false);
    ready = true;
    const found = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.error) found?.reject(new Error(data.error));
    else found?.resolve(data.answer);
  };
  worker.onerror = () => {
    for (const { reject } of waiting.values()) reject(new Error("the worker failed"));
    waiting.clear();
  };
  /**
   * @param {string} what
   * @param {Record<string, string | undefined>} query
   * @returns {Promise<any>}
   */
  const ask = (what, query) =>
    new Promise((resolve, reject) => {
      waiting.set(++number, { resolve, reject });
      if (!ready) loading(true);
      worker.postMessage({ number, what, query: given(query) });
    });
  worker.postMessage({ number: 0, what: "load", query: {} });
  return {
    view: async (query) => {
      const { lang, ...rest } = given(query);
      const first = rest.net === about.net && rest.detail === "blocks" && Object.keys(rest).length === 2;
      if (first && !ready) return (await fetched(`start-${lang}.json`)).json();
      return JSON.parse(await ask("view", query));
    },
    svg: (query) => ask("svg", query),
  };
}
