"""The CloudFormation stack: its template, its code bundle, its life from up to down."""
