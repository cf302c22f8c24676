// The Live tab in the visitor's browser: the microphone goes out in pieces, faces come back in strips.
//
// One piece is on its way at a time; what is said meanwhile goes with the next one. So nothing is lost,
// nothing overtakes, and on a slow way the pieces are longer instead of later and later.

const PIECE = 0.12; // seconds, at least: three frames
const KEPT = 1; // seconds of speech that may wait; what is older would only be shown too late
const FRAME = 40; // milliseconds
const SLACK = 2; // frames that may wait beyond those that have just come, against a stutter
const WORDS = {
  waiting: "One moment…",
  stopped: "Stopped. Press Start to go on with a fresh face.",
  denied: "The microphone may not be used: allow it in the browser's settings for this page.",
  missing: "No microphone was found: connect one, and open this page by https.",
  lost: "The server cannot be reached: press Start to try again.",
};
// Runs beside the page, in the thread of the sound: hands over the samples as they come.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[block]]) {
    if (block) this.port.postMessage(block.slice());
    return true;
  }
});`;

const canvas = element.querySelector("canvas");
const status = element.querySelector(".words");
const brush = canvas.getContext("2d");
const coming = []; // frames to be shown: an image with several side by side, and which of them
let visit = null; // what is open while the visitor speaks
let playing = false;
let due = 0; // milliseconds: when the next frame is to be shown

const say = words => { if (status.textContent !== words) status.textContent = words; };

async function start() {
  if (visit) return;
  const mine = (visit = { blocks: [], length: 0, sending: false });
  say(WORDS.waiting);
  try {
    mine.microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    mine.sound = new AudioContext();
    const { key, words, error } = await server.begin(mine.sound.sampleRate);
    mine.key = key;
    if (error) return stop(error);
    await listen(mine);
    say(words);
  } catch (error) {
    console.error(error);
    stop(error.name === "NotAllowedError" ? WORDS.denied : mine.microphone ? WORDS.lost : WORDS.missing);
  }
  if (visit !== mine) close(mine); // stopped before it had begun
}

async function listen(mine) {
  const module = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  await mine.sound.audioWorklet.addModule(module);
  const tap = new AudioWorkletNode(mine.sound, "tap", { channelCount: 1, channelCountMode: "explicit" });
  tap.port.onmessage = ({ data }) => take(mine, data);
  mine.sound.createMediaStreamSource(mine.microphone).connect(tap).connect(mine.sound.destination);
}

function take(mine, block) {
  mine.blocks.push(block);
  mine.length += block.length;
  while (mine.length > KEPT * mine.sound.sampleRate) mine.length -= mine.blocks.shift().length;
  if (visit === mine && !mine.sending && mine.length >= PIECE * mine.sound.sampleRate) send(mine);
}

async function send(mine) {
  if (!canvas.offsetParent) return stop(WORDS.stopped); // another tab of the page was opened
  mine.sending = true;
  try {
    const { error, over, words, ...strip } = await server.hear([mine.key, packed(mine)]);
    if (visit !== mine) return;
    await show(strip);
    if (error || over) stop(error ?? words);
    else say(words);
  } catch (error) {
    console.error(error);
    stop(WORDS.lost);
  } finally {
    mine.sending = false;
  }
}

// All that waits, as 16-bit samples in base64.
function packed(mine) {
  const samples = new DataView(new ArrayBuffer(2 * mine.length));
  let at = 0;
  for (const block of mine.blocks)
    for (const value of block) {
      samples.setInt16(at, 32767 * Math.max(-1, Math.min(1, value)), true);
      at += 2;
    }
  mine.blocks = [];
  mine.length = 0;
  let bytes = "";
  for (const byte of new Uint8Array(samples.buffer)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

async function show({ frames, strip }) {
  if (!frames) return;
  const image = new Image();
  image.src = "data:image/jpeg;base64," + strip;
  await image.decode();
  element.querySelector(".empty")?.remove();
  for (let k = 0; k < frames; k++) coming.push([image, k, image.width / frames]);
  coming.splice(0, Math.max(0, coming.length - frames - SLACK));
  if (!playing) requestAnimationFrame(play);
  playing = true;
}

function play(now) {
  if (now >= due) {
    const [image, k, width] = coming.shift();
    canvas.width = width;
    canvas.height = image.height;
    brush.drawImage(image, -k * width, 0);
    due = (now - due < FRAME ? due : now) + FRAME;
  }
  playing = coming.length > 0;
  if (playing) requestAnimationFrame(play);
}

function stop(words) {
  const mine = visit;
  if (!mine) return;
  visit = null;
  say(words);
  close(mine);
}

async function close(mine) {
  mine.microphone?.getTracks().forEach(track => track.stop());
  if (mine.sound?.state !== "closed") mine.sound?.close();
  const key = mine.key;
  mine.key = null;
  if (key) await server.end(key).then(show).catch(console.error);
}

canvas.addEventListener("start", start);
canvas.addEventListener("stop", () => stop(WORDS.stopped));
