"""How the worth of features is judged: linear SVM, nearest neighbours, few shots, probing."""
