// Preloaded into a process, it makes every sync a lie: proof that the loss of power is real and that the
// judge sees what it costs.
extern "C" {
int fsync(int) {
  return 0;
}
int fdatasync(int) {
  return 0;
}
}
