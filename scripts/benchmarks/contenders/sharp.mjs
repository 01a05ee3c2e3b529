// sharp, in two ways. `documented`: a pipeline for each size from the bytes, as its documentation shows it.
// `expert`: decoded once, at the scale that serves; raw pixels of 1024 make 512, and those the small ones. A small RGB
// profile is carried along unconverted, as imgpipe does, which is sharp at its quickest (ignoreIcc); large profiles and
// CMYK are converted, as imgpipe does too. Nothing is cached between jobs: no two uploads are the same.
// Arguments: the folder with node_modules, `documented` or `expert`, the number of threads. The protocol is worker.py's.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [, , home, style, threads] = process.argv;
const sharp = createRequire(`${home}/package.json`)('sharp');
sharp.concurrency(Number(threads));
sharp.cache(false);

const COVER = 64;
const SMALL_PROFILE = 4096;
const unlimited = { limitInputPixels: false };
const inside = (box) => ({ width: box, height: box, fit: 'inside', withoutEnlargement: true });
const cover = { width: COVER, height: COVER, fit: 'cover' };

function encoded(pipeline, form, effort) {
  return (form === 'webp' ? pipeline.webp({ quality: 80, ...effort }) : pipeline.jpeg({ quality: 82 })).toBuffer();
}

async function documented(data, form) {
  const { width, height } = await sharp(data, unlimited).metadata();
  createHash('sha256').update(data).digest('hex');
  const sizes = [['1024', inside(1024)], ['512', inside(512)], ['128', inside(128)]];
  if (Math.max(width, height) >= 1024) sizes.push([String(COVER), cover]);
  return Promise.all(
    sizes.map(async ([name, size]) => [name, await encoded(sharp(data, unlimited).autoOrient().resize(size), form, {})]),
  );
}

async function expert(data, form) {
  const { width, height, icc, space } = await sharp(data, unlimited).metadata();
  createHash('sha256').update(data).digest('hex');
  const small = space !== 'cmyk' && icc && icc.length <= SMALL_PROFILE;
  const input = { ...unlimited, ignoreIcc: space !== 'cmyk' && (!icc || small) };
  const raw = async (pipeline) => {
    const { data: pixels, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
    return () => sharp(pixels, { raw: { width: info.width, height: info.height, channels: info.channels } });
  };
  const first = await raw(sharp(data, input).autoOrient().resize(inside(1024)));
  const second = await raw(first().resize(inside(512)));
  const sizes = [['1024', first()], ['512', second()], ['128', second().resize(inside(128))]];
  if (Math.max(width, height) >= 1024) sizes.push([String(COVER), second().resize(cover)]);
  return Promise.all(
    sizes.map(async ([name, pipeline]) => {
      const made = await encoded(pipeline, form, { effort: 2 });
      return [name, small && form === 'jpeg' ? withProfile(made, icc) : made];
    }),
  );
}

// Raw pixels have no profile that sharp could keep, so it is set into the finished file, which costs next to nothing.
function withProfile(jpeg, icc) {
  const head = Buffer.alloc(18);
  head.writeUInt16BE(0xffe2, 0);
  head.writeUInt16BE(16 + icc.length, 2);
  head.write('ICC_PROFILE\0', 4, 'latin1');
  head[16] = 1;
  head[17] = 1;
  const after = 4 + jpeg.readUInt16BE(4); // behind JFIF's own segment
  return Buffer.concat([jpeg.subarray(0, after), head, icc, jpeg.subarray(after)]);
}

function status(name) {
  const line = readFileSync('/proc/self/status', 'utf8').split('\n').find((one) => one.startsWith(`${name}:`));
  return Number(line.split(/\s+/)[1]) * 1024;
}

const work = style === 'expert' ? expert : documented;
let loaded = { path: null, data: null };

async function answer(job) {
  if (job.versions) return { sharp: sharp.versions.sharp, 'libvips (sharp\'s)': sharp.versions.vips, 'Node.js': process.versions.node };
  if (job.memory) {
    writeFileSync('/proc/self/clear_refs', '5');
    const idle = status('VmRSS');
    await work(readFileSync(job.path), job.form);
    return { memory_mb: (status('VmHWM') - idle) / 1e6 };
  }
  if (loaded.path !== job.path) loaded = { path: job.path, data: readFileSync(job.path) };
  const wall = performance.now();
  const before = process.cpuUsage();
  const outputs = await work(loaded.data, job.form);
  const used = process.cpuUsage(before);
  const took = performance.now() - wall;
  if (job.save) for (const [name, made] of outputs) writeFileSync(`${job.save}/${name}.${job.form}`, made);
  return {
    cpu_ms: (used.user + used.system) / 1000,
    wall_ms: took,
    bytes: Object.fromEntries(outputs.map(([name, made]) => [name, made.length])),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  let told;
  try {
    told = await answer(JSON.parse(line));
  } catch (error) {
    told = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
