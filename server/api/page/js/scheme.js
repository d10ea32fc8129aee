// Runs before anything is painted, so that a kept choice of dark or light never flashes.
// A classic script, since modules wait until the document is read.
try {
  const kept = localStorage.getItem("greenroom.scheme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.scheme = kept;
} catch {
  // Storage is switched off: the system's scheme it is.
}
