/** Python in a web worker: Pyodide, with the rooms of plusx that the page needs. */

const base = new URL("../", import.meta.url);

const python = (async () => {
  const { loadPyodide } = await import(new URL("vendor/pyodide/pyodide.mjs", base).href);
  const pyodide = await loadPyodide({ indexURL: new URL("vendor/pyodide/", base).href });
  const sources = await (await fetch(new URL("plusx.zip", base))).arrayBuffer();
  pyodide.unpackArchive(sources, "zip", { extractDir: "/home/pyodide" });
  return pyodide.runPython(`
from plusx.explorer.views import WrongFieldError, answer, svg_file
from plusx.files import json_text

def ask(what, query):
    query = query.to_py()
    if what == "svg":
        return svg_file(query)
    return json_text(answer(query))

ask
`);
})();

self.onmessage = async ({ data }) => {
  const { number, what, query } = data;
  try {
    const ask = await python;
    self.postMessage({ number, answer: what === "load" ? null : ask(what, query) });
  } catch (error) {
    self.postMessage({ number, error: String(error) });
  }
};
