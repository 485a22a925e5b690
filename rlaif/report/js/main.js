Browser.open();
Training.open();
Live.open();
