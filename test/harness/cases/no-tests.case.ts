// A file that imports the harness and declares nothing.
import '../index.ts';
