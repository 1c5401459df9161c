{
"!langcode!": "it",
"!langname!": "Italiano",
"Hello World": "Salve Mondo",
}
