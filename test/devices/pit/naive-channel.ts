// A second 8254 channel, as slow and obvious as possible: it takes every clock pulse by itself and
// follows the data sheet's prose. The real one must agree with it.

export class NaiveChannel {
  mode = 0;
  gate = true;
  out = true;
  ce = 0;
  hasRun = false; // the counter has been loaded since the control word
  private cr = 0;
  private isLoadDue = false;
  private isRunning = false;
  private isStrobeDone = false;
  private isArmed = false;

  control(mode: number): void {
    this.mode = mode;
    this.out = mode !== 0;
    this.isRunning = false;
    this.isLoadDue = false;
    this.isArmed = false;
  }

  count(value: number): void {
    this.cr = value === 0 ? 0x10000 : value;
    this.isArmed = true;
    if (this.mode === 1 || this.mode === 5) return;
    if ((this.mode === 2 || this.mode === 3) && this.isRunning) return;
    this.isLoadDue = true;
    this.isStrobeDone = false;
    if (this.mode === 0) this.out = false;
    if (this.mode === 4) this.out = true;
  }

  setGate(level: boolean): void {
    const isRising = level && !this.gate;
    this.gate = level;
    if (this.mode === 2 || this.mode === 3) {
      if (!level) this.out = true;
    }
    if (isRising && this.isArmed && this.mode !== 0 && this.mode !== 4) {
      this.isLoadDue = true;
      this.isStrobeDone = false;
      if (this.mode === 5 || this.mode === 1) this.out = true;
    }
  }

  pulse(): void {
    if (this.isLoadDue) {
      this.isLoadDue = false;
      this.isRunning = true;
      this.hasRun = true;
      this.isStrobeDone = false;
      this.ce = this.cr;
      if (this.mode === 1) this.out = false;
      else if (this.mode !== 0) this.out = true;
      if (this.mode === 3) this.startHalf();
      return;
    }
    if (!this.isRunning) return;
    if (this.mode === 2) this.pulseRate();
    else if (this.mode === 3) this.pulseSquare();
    else this.pulseOnce();
  }

  private pulseOnce(): void {
    const isPausing = this.mode === 0 || this.mode === 4;
    const isStrobe = this.mode === 4 || this.mode === 5;
    if (isPausing && !this.gate) return;
    if (isStrobe) this.out = true;
    this.ce = (this.ce - 1 + 0x10000) % 0x10000;
    if (this.ce !== 0 || this.isStrobeDone) return;
    this.isStrobeDone = true;
    this.out = !isStrobe;
  }

  private pulseRate(): void {
    if (!this.gate) return;
    if (this.ce === 1) {
      this.ce = this.cr;
      this.out = true;
      return;
    }
    this.ce--;
    if (this.ce === 1) this.out = false;
  }

  // Each half counts by two; an odd count has the longer half high.
  private pulseSquare(): void {
    if (!this.gate) return;
    this.ce -= 2;
    this.pulsesLeft--;
    if (this.pulsesLeft > 0) return;
    this.out = !this.out;
    this.startHalf();
  }

  private pulsesLeft = 0;
  private startHalf(): void {
    this.ce = this.cr & ~1;
    this.pulsesLeft = this.out ? Math.ceil(this.cr / 2) : Math.floor(this.cr / 2);
  }
}
