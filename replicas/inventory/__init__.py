"""What is read about secrets, and how it is judged and worded."""
