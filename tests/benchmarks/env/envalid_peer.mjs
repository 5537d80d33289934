// Copyright: tria.production contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// npm's dotenv and envalid: `node envalid_peer.mjs <folder> <node_modules>` prints their seconds and what was wrong.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const [folder, modules] = process.argv.slice(2)
const require = createRequire(modules + '/')
const dotenv = require('dotenv')
const envalid = require('envalid')
const variables = JSON.parse(readFileSync(folder + '/schema.json', 'utf8')).variables

// envalid has no bounds, lengths or patterns of its own: a validator made for each rule, as its documentation shows
function validatorOf(rule) {
  const options = rule.required ? {} : { default: undefined }
  if (rule.choices) return envalid.str({ ...options, choices: rule.choices })
  if (rule.type === 'url') return envalid.url(options)
  if (rule.type === 'bool') return envalid.bool(options)
  const pattern = rule.pattern && new RegExp(rule.pattern)
  return envalid.makeValidator((text) => {
    if (rule.type === 'int' || rule.type === 'float') {
      const number = Number(text)
      if (!(rule.type === 'int' ? Number.isInteger : Number.isFinite)(number)) throw new envalid.EnvError('number')
      if (number < rule.min || number > rule.max) throw new envalid.EnvError('range')
      return number
    }
    if (text === '') throw new envalid.EnvError('empty')
    if (pattern && !pattern.test(text)) throw new envalid.EnvError('pattern')
    if (text.length < (rule.min_length ?? 0)) throw new envalid.EnvError('length')
    return text
  })(options)
}

const begun = performance.now()
let found = {}
const specs = Object.fromEntries(Object.entries(variables).map(([name, rule]) => [name, validatorOf(rule)]))
const reporter = ({ errors }) => { found = errors }
envalid.cleanEnv(dotenv.parse(readFileSync(folder + '/.env')), specs, { reporter })
const seconds = (performance.now() - begun) / 1000
envalid.envalidErrorFormatter(found, console.error)
console.log(JSON.stringify({ seconds, wrong: Object.keys(found).length }))
