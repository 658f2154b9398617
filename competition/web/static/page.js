// What the page does by itself: uploads that can be paused, dropped files, the slider between before and after.
import { Tus, Uppy } from "/static/vendor/uppy.js";

const words = JSON.parse(document.getElementById("words").textContent);
const token = document.querySelector('meta[name="token"]').content;
const pending = document.getElementById("pending");
const news = document.getElementById("news");
const chooser = document.getElementById("chooser");
const say = (key) => words[key] ?? key;

const uppy = new Uppy({ autoProceed: true, locale: { strings: { noDuplicates: say("twice") } } }).use(Tus, {
  endpoint: "/files",
  headers: { "X-Token": token },
  chunkSize: 64 * 2 ** 20, // so that a proxy that collects whole requests loses little
  limit: 3,
  removeFingerprintOnSuccess: true,
  retryDelays: [0, 1000, 3000, 5000, 10000, 20000],
});
let places = []; // where the keyboard goes on, the first that is left, when what it was at is deleted
const began = new Map(); // by file: when its bytes began to go, and how many had gone before

function rowOf(file) {
  const url = file.tus?.uploadUrl;
  return url ? document.getElementById(`upload-${url.split("/").pop()}`) : null;
}

function fileOf(row) {
  return uppy.getFiles().find((file) => file.tus?.uploadUrl?.endsWith(row.dataset.upload) || file.id === row.dataset.file);
}

function paint(file) {
  const row = rowOf(file);
  const waiting = [...pending.children].find((one) => one.dataset.file === file.id);
  if (row) waiting?.remove();
  const shown = row ?? waiting;
  if (!shown) return;
  shown.dataset.live = file.isPaused ? "paused" : "running";
  const share = file.size ? file.progress.bytesUploaded / file.size : 0;
  const bar = shown.querySelector("progress");
  if (bar) bar.value = share;
  const note = shown.querySelector(".note");
  const percent = say("percent").replace("{percent}", Math.floor(share * 100));
  if (note) note.textContent = `${percent}${file.isPaused ? ` · ${say("paused")}` : left(file)}`;
}

function left(file) {
  const start = began.get(file.id);
  const gone = start ? file.progress.bytesUploaded - start.bytes : 0;
  if (gone <= 0) return "";
  const seconds = Math.ceil(((Date.now() - start.time) / gone / 1000) * (file.size - file.progress.bytesUploaded));
  const few = say("in seconds").replace("{seconds}", seconds);
  const text = seconds < 60 ? few : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  return ` · ${say("left").replace("{time}", text)}`;
}

function add(files) {
  const consent = document.getElementById("consent").checked;
  for (const file of files) {
    try {
      uppy.addFile({ name: file.name, type: file.type, data: file, meta: consent ? { consent: "yes" } : {} });
    } catch (error) {
      news.textContent = error.message;
    }
  }
}

uppy.on("file-added", (file) => {
  const row = document.getElementById("new").content.firstElementChild.cloneNode(true);
  row.dataset.file = file.id;
  row.querySelector(".name").textContent = file.name;
  row.querySelector('[data-act="drop"]').setAttribute("aria-label", `${say("cancel")}: ${file.name}`);
  pending.prepend(row);
  news.textContent = "";
});
uppy.on("upload-progress", (file, progress) => {
  if (!began.has(file.id)) began.set(file.id, { time: Date.now(), bytes: progress.bytesUploaded });
  paint(uppy.getFile(file.id));
});
uppy.on("upload-pause", (file) => {
  began.delete(file.id);
  paint(uppy.getFile(file.id));
});
uppy.on("upload-success", (file) => {
  paint(uppy.getFile(file.id));
  const row = rowOf(uppy.getFile(file.id));
  delete row?.dataset.live;
  setTimeout(() => [...pending.children].find((one) => one.dataset.file === file.id)?.remove(), 2000);
});
uppy.on("complete", ({ successful }) => {
  for (const file of successful) uppy.removeFile(file.id); // not earlier: it would delete the upload
});
uppy.on("upload-error", (file, error) => {
  let answer = {};
  try {
    answer = JSON.parse(error.originalResponse?.getBody() ?? "{}");
  } catch {}
  news.textContent = `${file.name}: ${say(answer.error ?? "no connection")}`;
  if (answer.error) {
    [...pending.children].find((one) => one.dataset.file === file.id)?.remove();
    uppy.removeFile(file.id);
  }
});
addEventListener("online", () => uppy.retryAll());

chooser.addEventListener("change", () => {
  add(chooser.files);
  chooser.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  add(event.dataTransfer.files);
});

document.addEventListener("click", (event) => {
  const act = event.target.closest("[data-act]")?.dataset.act;
  if (!act) return;
  const row = event.target.closest(".row");
  const file = fileOf(row);
  if (act === "resume" && !file) chooser.click();
  if (!file) return;
  if (act === "pause" || act === "resume") {
    if (file.error) uppy.retryUpload(file.id);
    else uppy.pauseResume(file.id);
    paint(uppy.getFile(file.id));
  }
});
// Before htmx hears of it: an upload that goes on here is deleted by its own protocol, once.
document.addEventListener("click", (event) => {
  const button = event.target.closest('[data-act="drop"]');
  const row = button?.closest(".row");
  const file = row && fileOf(row);
  if (!file || file.progress.uploadComplete) return;
  event.stopPropagation();
  uppy.removeFile(file.id);
  row.remove();
}, true);
document.addEventListener("input", (event) => {
  if (event.target.matches(".compare input"))
    event.target.closest(".compare").style.setProperty("--cut", `${event.target.value}%`);
});
document.addEventListener("htmx:after:swap", () => {
  uppy.getFiles().forEach(paint);
  if (document.activeElement === document.body) places.find((place) => place?.isConnected)?.focus();
});
document.addEventListener("htmx:response:error", (event) => {
  let answer = {};
  try {
    answer = JSON.parse(event.detail.ctx.text);
  } catch {}
  news.textContent = say(answer.error ?? "no connection");
});
for (const failure of ["htmx:error", "htmx:sse:error"])
  document.addEventListener(failure, () => (news.textContent = say("no connection")));
document.addEventListener("htmx:sse:after:connection", () => {
  if (news.textContent === say("no connection")) news.textContent = "";
});
document.addEventListener("htmx:before:request", () => (news.textContent = ""));
for (const at of ["focusin", "pointerdown"])
  addEventListener(at, (event) => {
    const row = event.target.closest?.("#files > .row");
    places = row ? [row, row.nextElementSibling, row.previousElementSibling, row.parentElement] : [];
  });
addEventListener("beforeunload", (event) => {
  if (uppy.getFiles().some((file) => !file.isPaused && !file.progress.uploadComplete && !file.error)) event.preventDefault();
});
