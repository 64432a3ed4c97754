/**
 * The shapes of what Python answers (explorer/views.py) and of the page's own state.
 *
 * @typedef {object} Place A part of the drawing: an op or a block box.
 * @property {string} text
 * @property {number[]} out channels, height, width
 * @property {number} jump
 * @property {number} rf
 * @property {number} start
 * @property {string | null} global the op from which on every cell depends on the whole image
 * @property {number} params
 * @property {string} params_text
 * @property {number} macs
 * @property {string} macs_text
 * @property {number} repeat
 * @property {boolean} [block]
 * @property {string} [in] the block box it is drawn in
 * @property {number | null} [layer]
 * @property {Record<string, string>} [names]
 *
 * @typedef {object} Part
 * @property {string} name
 * @property {string} title
 * @property {string[]} names
 * @property {number} blocks
 * @property {number[]} out
 * @property {number} jump
 * @property {number} rf
 * @property {number} start
 * @property {string | null} global
 * @property {number} params
 * @property {string} params_text
 * @property {number} macs
 * @property {string} macs_text
 *
 * @typedef {object} Numbers
 * @property {string} text
 * @property {number[]} size
 * @property {number} preset_size
 * @property {{params: number, params_text: string, macs: number, macs_text: string, activation_bytes: number,
 *   activations_text: string, state_bytes: number, state_text: string}} totals
 * @property {{counted: number, sum: string, ops: string[], convs: number, weighted: number}} depth
 * @property {Part[]} parts
 * @property {Record<string, Place>} places
 *
 * @typedef {object} Switch
 * @property {string} key
 * @property {string} group
 * @property {string} meaning
 * @property {string} value
 * @property {{value: string, why: string | null}[]} [choices]
 * @property {string} [example]
 *
 * @typedef {object} Diff
 * @property {boolean} equal
 * @property {string[][]} fields
 * @property {string[]} changes
 * @property {{name: string, before: string, after: string, change: string}[]} figures
 * @property {string} weights
 *
 * @typedef {Numbers & {detail: string, svg: string, switches: Switch[], code: Record<string, string>,
 *   pinned?: Numbers, diff?: Diff}} View
 *
 * @typedef {{error: string, of: string}} Wrong
 *
 * @typedef {{net: string, size: string, detail: string, pin: string, set?: string, lang: string}} Query
 *
 * @typedef {object} State What the address holds.
 * @property {string} net
 * @property {string} size
 * @property {string} detail
 * @property {string} pin
 * @property {string} place
 * @property {string} cell
 * @property {number} step of the tour from 1; 0 outside it
 * @property {string} lang
 * @property {string} theme
 * @property {boolean} live
 *
 * @typedef {object} TourStep
 * @property {string} title
 * @property {string} text
 * @property {string} net
 * @property {string} detail
 * @property {string} pin
 * @property {string} place
 *
 * @typedef {object} Texts
 * @property {string} language
 * @property {Record<string, string>} words
 * @property {{name: string, size: number, source: string}[]} presets
 * @property {TourStep[]} tour
 *
 * @typedef {{version: string, static: boolean, net: string, languages: string[], live: boolean}} About
 *
 * @typedef {(key: string, values?: Record<string, string | number>) => string} Say
 */

export {};
