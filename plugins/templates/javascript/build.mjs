// Makes build/plugin.wasm of src/plugin.js: `weft plugin build` runs this.
import { componentize } from '@bytecodealliance/componentize-js';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';

const manifest = JSON.parse(await readFile('src/manifest.json', 'utf8'));
await rm('build/src', { recursive: true, force: true });
await mkdir('build', { recursive: true });
await cp('src', 'build/src', { recursive: true });
// A module of its own: there are no files in the sandbox.
await writeFile('build/src/manifest.js', `export default ${JSON.stringify(JSON.stringify(manifest))};\n`);

const { component } = await componentize({
  sourcePath: 'build/src/plugin.js',
  witPath: 'wit',
  worldName: `${manifest.kind}-plugin`,
  // Nothing of WASI: the engine lends what the contract names, and nothing else.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('build/plugin.wasm', component);
